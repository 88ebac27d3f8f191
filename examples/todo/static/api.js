// Talking to the server: every answer is a value or a Problem whose message is meant for the person.

export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const UNREACHABLE = "The server cannot be reached. Please try again in a moment.";

async function request(method, path, { body, key } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let response;
  try {
    response = await fetch(path, { method, headers, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(UNREACHABLE);
  }
  const text = await response.text().catch(() => "");
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem("The server's answer made no sense. Please reload the page.", response.status);
  }
  if (!response.ok) throw new Problem(value?.detail ?? `The server answered ${response.status}.`, response.status);
  return { value, position: Number(response.headers.get("Event-Position") ?? 0) };
}

// 24 hex digits that begin with the time in nanoseconds: a new task takes its key as its id, and ids sort by age.
export function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(4));
  const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return (BigInt(Date.now()) * 1_000_000n).toString(16).padStart(16, "0") + digits;
}

// Whether it is open if a command happened: no answer, or one by a server that had none from its backend (503).
export const open = (error) => error.status === 0 || error.status === 503;

// A command is sent again once when that is open: the key makes that safe, it cannot happen twice.
async function command(method, path, body, key = newKey()) {
  try {
    return await request(method, path, { body, key });
  } catch (error) {
    if (!open(error)) throw error;
    return await request(method, path, { body, key });
  }
}

const of = (id) => `/api/tasks/${encodeURIComponent(id)}`;

export const create = (text, id) => command("POST", "/api/tasks", { text }, id);
export const change = (id, fields) => command("PATCH", of(id), fields);
export const remove = (id) => command("DELETE", of(id));
export const restore = (id) => command("POST", `${of(id)}/restore`);
export const list = async (position) => (await request("GET", `/api/tasks?at_least=${position}`)).value;
export const events = async (query) => (await request("GET", `/api/events?${query}`)).value;
