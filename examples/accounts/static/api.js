// Talking to the functions: every answer is a value or a Problem whose message is meant for the person.

export class Problem extends Error {
  constructor(message, status = 0, value = null) {
    super(message);
    this.status = status;
    this.value = value;
  }
}

const UNREACHABLE = "The server cannot be reached. Please try again in a moment.";

async function request(method, path, { body, ...headers } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    // Reads go through the browser's cache, which asks with the ETag whether what it has is still good.
    const cache = method === "GET" ? "no-cache" : "no-store";
    response = await fetch(path, { method, headers: sent, cache, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(UNREACHABLE);
  }
  const text = await response.text().catch(() => "");
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem("The answer made no sense. Please reload the page.", response.status);
  }
  if (!response.ok) throw new Problem(value?.detail ?? value?.title ?? `The server answered ${response.status}.`, response.status, value);
  return { value, position: Number(response.headers.get("Event-Position") ?? 0) };
}

// 24 hex digits that begin with the time: a new account takes its key as its id, and ids sort by age.
export function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(4));
  const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return (BigInt(Date.now()) * 1_000_000n).toString(16).padStart(16, "0") + digits;
}

// Whether it is open if a command happened: no answer, or one by a server that had none from behind it.
export const open = (problem) => [0, 502, 503].includes(problem.status);

// A command is sent again once when that is open: the key makes that safe, it cannot happen twice.
async function command(method, path, body, headers = {}, key = newKey()) {
  const sent = { body, ...headers, "Idempotency-Key": key };
  try {
    return await request(method, path, sent);
  } catch (problem) {
    if (!open(problem)) throw problem;
    return await request(method, path, sent);
  }
}

export const openAccount = (name, key) => command("POST", "/accounts", { name }, {}, key);
export const change = (id, name, reason, revision) =>
  command("PUT", `/accounts/${encodeURIComponent(id)}/commands/${name}`, { reason }, { "If-Match": `"${revision}"` });
export const order = (account, item, quantity) => command("POST", "/orders", { account, item, quantity });

const listed = async (path) => {
  const { items, cursor } = (await request("GET", path)).value;
  return { items: items.map(({ document }) => document), more: cursor !== null };
};

export const accounts = (status, position) =>
  listed(`/accounts?limit=100${status && `&status=${status}`}${position ? `&at_least=${position}` : ""}`);
export const standings = () => listed("/standings?limit=1000");
export const orders = (position) => listed(`/orders?limit=100${position ? `&at_least=${position}` : ""}`);
export const status = async (name) => (await request("GET", `/status/${name}`)).value;
