// Talking to the server: every answer is a value, or a Problem whose message is meant for the person. What was asked
// for before is asked for again by its ETag, so that an unchanged view comes back as a 304 with nothing in it.

export class Problem extends Error {
  constructor(message, status = 0, headers = new Headers()) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

// The answer to somebody who has signed out meanwhile: for nobody to see or to keep.
export class Former extends Problem {
  constructor() {
    super("This was asked for in a session that is over.", 401);
  }
}

const UNREACHABLE = "The server cannot be reached. Please try again in a moment.";
const kept = new Map(); // path -> { etag, value }

let token = sessionStorage.getItem("token"); // of this window only: two windows can be two people
const listeners = new Set(); // each is told of every answer: (method, path, status, milliseconds, headers)

export const signedIn = () => token !== null;

export function keepToken(value) {
  token = value;
  kept.clear();
  if (value === null) sessionStorage.removeItem("token");
  else sessionStorage.setItem("token", value);
}

export const onAnswer = (listener) => listeners.add(listener);

async function request(method, path, { body, key, etag } = {}) {
  const asking = token;
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (etag) headers["If-None-Match"] = etag;
  const began = performance.now();
  let response;
  try {
    // The browser's own cache would turn a 304 into a 200: this page shows which one it was.
    response = await fetch(path, { method, headers, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw token === asking ? new Problem(UNREACHABLE) : new Former();
  }
  const text = await response.text().catch(() => "");
  for (const each of listeners) each(method, path, response.status, performance.now() - began, response.headers);
  if (token !== asking) throw new Former();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem("The server's answer made no sense. Please reload the page.", response.status);
  }
  if (!response.ok && response.status !== 304) {
    throw new Problem(value?.detail ?? `The server answered ${response.status}.`, response.status, response.headers);
  }
  return { status: response.status, value, headers: response.headers };
}

// What is there now, and whether it has changed since it was asked for last.
export async function get(path) {
  const before = kept.get(path);
  const { status, value, headers } = await request("GET", path, { etag: before?.etag });
  if (status === 304) return { value: before.value, changed: false };
  if (headers.has("ETag")) kept.set(path, { etag: headers.get("ETag"), value });
  return { value, changed: true };
}

export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// A command is sent again once when it is open whether it happened: its key makes that safe, it cannot happen twice.
export async function command(method, path, body) {
  const key = method === "POST" ? newKey() : undefined;
  try {
    return (await request(method, path, { body, key })).value;
  } catch (error) {
    if (error.status !== 0 && error.status !== 503) throw error;
    return (await request(method, path, { body, key })).value;
  }
}
