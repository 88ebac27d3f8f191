// The page: what the person does becomes a command; what is shown is the view, which tells its changes as they happen.
//
// The list follows the hand at once (marked as waiting), then shows what the command answered, and from there on
// what the view's change feed tells. If the command fails, the list goes back and the message says why.

import * as api from "/static/api.js";
import { TaskList } from "/static/list.js";
import { Log } from "/static/log.js";
import { Stream } from "/static/stream.js";
import { Toast, say } from "/static/toast.js";

const get = (id) => document.getElementById(id);
const input = get("new-text");
const undoable = []; // deletions, the latest last: { id, gone: whether it was carried out, once that is known }

let tasks = new Map(); // as the view has them
let loaded = false;
const wishes = new Map(); // id -> what was asked for and is not answered yet
let ghosts = []; // new tasks that are not answered yet
let unsure = null; // the last new task of which nobody knows whether it was saved: sent again, it is the same one

const list = new TaskList({ tick, edit, remove, add, point, leave: () => input.focus() });
const log = new Log(point);
const toast = new Toast(undo);

function draw() {
  const oldestFirst = [...tasks.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  const shown = oldestFirst.map((task) => ({ ...task, ...wishes.get(task.id) }));
  const waiting = ghosts.filter((ghost) => !tasks.has(ghost.id));
  list.show([...shown, ...waiting].reverse());
  const open = shown.filter((task) => !task.done).length;
  const total = shown.length;
  get("empty").hidden = !loaded || total + waiting.length > 0;
  get("tally").hidden = total === 0;
  get("tally-text").textContent = open ? `${open} open, ${total - open} done` : `All ${total} done`;
  get("tally-bar").style.transform = `scaleX(${total ? (total - open) / total : 0})`;
  document.title = open ? `(${open}) To-do` : "To-do";
}

function point(id) {
  list.point(id);
  log.point(id);
}

// -- The view, as its change feed tells it --

let past = null; // the documents that are told first; all of them are shown at once
let resets = 0;
const changes = new Map(); // id -> how often the feed has told of it

function told(name, { key, document }) {
  if (name === "reset") {
    past = new Map();
    resets += 1;
    return;
  }
  if (name === "put") (past ?? tasks).set(key, document);
  if (name === "delete") (past ?? tasks).delete(key);
  if (name === "level" && past) {
    tasks = past;
    past = null;
    loaded = true;
  }
  if (key) changes.set(key, (changes.get(key) ?? 0) + 1);
  if (!past) draw();
}

const seen = (id) => `${resets} ${changes.get(id) ?? 0}`;

// -- The view where there is no feed: asked for when something happened, never twice at a time --

let wanted = 0; // the position that the view must have reached
let reached = 0; // the position that the list shown has reached at least: asking again could be billed, and for nothing
let stale = false;
let running = null;

function refresh(position = 0) {
  if (!stream.asks) return Promise.resolve();
  if (position && position <= reached) return Promise.resolve();
  wanted = Math.max(wanted, position);
  stale = true;
  running ??= load().finally(() => (running = null));
  return running;
}

async function load() {
  while (stale) {
    stale = false;
    const asked = wanted;
    try {
      const listed = await api.list(asked);
      tasks = new Map(listed.map((task) => [task.id, task]));
      reached = asked;
    } catch (problem) {
      if (stale) continue; // asked again in the meantime
      throw problem;
    }
    loaded = true;
    draw();
  }
}

// -- Commands --

// A command was answered. If the feed has told of the task since it was sent, the feed may know better, or will soon.
async function done(id, { value, position }, before) {
  if (stream.asks) await refresh(position).catch(() => {}); // that the list could not be read is told elsewhere
  else if (seen(id) === before && value) tasks.set(id, value);
  else if (seen(id) === before) tasks.delete(id);
  stream.ask();
}

// Shows the wish, sends the command, and lets the view speak again once it has got that far.
async function wish(id, change, send) {
  const mine = { ...wishes.get(id), ...change };
  const before = seen(id);
  wishes.set(id, mine);
  draw();
  try {
    const answer = await send();
    await done(id, answer, before);
    return answer.value;
  } catch (error) {
    if (error.status === 404) refresh().catch(() => {});
    throw error;
  } finally {
    if (wishes.get(id) === mine) wishes.delete(id);
    draw();
  }
}

async function add(text) {
  const error = get("add-error");
  error.hidden = true;
  input.removeAttribute("aria-invalid");
  if (!text.trim()) {
    refuse("Write what there is to do, then press Enter.");
    return;
  }
  const id = api.newKey();
  const made = { id, text: text.trim(), done: false, waiting: true, fresh: true, before: seen(id) };
  const ghost = unsure?.text === made.text ? unsure : made;
  unsure = null;
  ghosts.push(ghost);
  draw();
  try {
    await done(ghost.id, await api.create(ghost.text, ghost.id), ghost.before);
    say(`Added: ${ghost.text}`);
  } catch (problem) {
    if (api.open(problem)) unsure = ghost;
    if (!input.value) input.value = text; // nothing that was typed is lost
    refuse(problem.message);
  } finally {
    ghosts = ghosts.filter((other) => other !== ghost);
    draw();
  }
}

function refuse(message) {
  get("add-error").textContent = message;
  get("add-error").hidden = false;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

async function tick(id, done) {
  try {
    await wish(id, { done }, () => api.change(id, { done }));
  } catch (problem) {
    toast.bad(problem.message);
  }
}

async function edit(id, text) {
  try {
    await wish(id, { text, waiting: true }, () => api.change(id, { text }));
    return undefined;
  } catch (problem) {
    if (problem.status === 404) toast.bad(problem.message);
    return problem.message;
  }
}

async function remove(id) {
  const task = tasks.get(id);
  if (!task || wishes.get(id)?.leaving) return;
  const sent = wish(id, { leaving: true }, () => api.remove(id));
  const deletion = { id, gone: sent.then(() => true, () => false) };
  undoable.push(deletion);
  try {
    await sent;
    toast.show(`Deleted “${shorten(task.text)}”`, true);
  } catch (problem) {
    if (undoable.includes(deletion)) undoable.splice(undoable.indexOf(deletion), 1);
    toast.bad(problem.message);
  }
}

async function undo() {
  const deletion = undoable.pop();
  if (!deletion || !(await deletion.gone)) return; // a quick hand: the deletion may still be on its way
  toast.hide();
  const before = seen(deletion.id);
  try {
    const answer = await api.restore(deletion.id);
    await done(deletion.id, answer, before);
    draw();
    toast.show(`“${shorten(answer.value.text)}” is back`);
  } catch (problem) {
    undoable.push(deletion);
    toast.bad(problem.message);
  }
}

const shorten = (text) => (text.length > 60 ? `${text.slice(0, 58)}…` : text);

// -- The person --

get("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value;
  if (text.trim()) input.value = "";
  add(text);
});

input.addEventListener("input", () => {
  if (!input.value) unsure = null; // what is typed next is something new
  get("add-error").hidden = true;
  input.removeAttribute("aria-invalid");
});

function clear() {
  input.value = "";
  unsure = null;
}

input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") list.enter();
  else if (event.key === "Escape") clear();
  else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("textarea, input:not([type=checkbox])");
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    if ((typing && event.target.value) || !undoable.length) return; // in a text, undo belongs to the text
    undo();
  } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    input.focus();
  } else if (event.key === "Escape" && !typing) {
    toast.hide();
    return;
  } else {
    return;
  }
  event.preventDefault();
});

// -- What happens elsewhere --

const STATES = {
  live: "Live",
  polling: "Live, asking now and then",
  lost: "Connection lost, trying again",
};

let state = "connecting";
let caughtUp = false; // whether what arrives is new, or the past that is shown first

const stream = new Stream({
  told,
  recorded(record) {
    log.append(record, caughtUp);
    if (caughtUp) refresh(record.position).catch(() => {});
  },
  status(status) {
    log.show(status);
    if (!caughtUp) refresh().catch(() => {});
    caughtUp = true;
  },
  reset() {
    log.clear();
    wanted = reached = 0;
    refresh().catch(() => {});
  },
  state(name) {
    if (name === state) return;
    if (state === "lost") {
      say("Connected again.");
      refresh().catch(() => {});
    }
    state = name;
    get("connection").dataset.state = name;
    get("connection-text").textContent = STATES[name];
  },
});
