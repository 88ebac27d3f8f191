// The page: what the person does becomes a command or an order; what is shown is what the three services answer.
//
// All is asked for every so often, and soon again as long as something is on its way to the order service.

import * as api from "/static/api.js";
import { Accounts } from "/static/accounts.js";
import { showFunctions } from "/static/functions.js";
import { showOrders } from "/static/orders.js";

const get = (id) => document.getElementById(id);
const input = get("new-name");

const SOON = 400; // milliseconds until it is asked again: something is on its way
const CALM = 1_500; // nothing is
const BILLED = 5_000; // nothing is, and each look costs money

let accounts = [];
let standings = new Map(); // account -> what the order service knows of it
let status = ""; // which accounts are shown
let billed = false;
let behind = false; // whether one of the functions has something to catch up with
let position = 0; // what the view of accounts must have reached
let decided = 0; // what the view of orders must have reached
let unsure = null; // the last new account of which nobody knows whether it was opened: sent again, it is the same one

// -- What is shown --

const list = new Accounts({ change, order });

function draw(more) {
  list.show(accounts, standings);
  get("accounts-more").hidden = !more;
  get("accounts-empty").hidden = accounts.length > 0;
  get("accounts-empty").textContent = status ? `No account is ${status}.` : "No account yet. Open one above, and follow it.";
}

const onItsWay = () => behind || accounts.some(({ id, revision }) => (standings.get(id)?.revision ?? 0) < revision);

// -- Asking, never twice at a time --

let running = null;
let wanted = false;
let timer = 0;

function refresh() {
  clearTimeout(timer);
  wanted = true;
  running ??= look().finally(() => {
    running = null;
    if (!document.hidden) timer = setTimeout(refresh, onItsWay() ? SOON : billed ? BILLED : CALM);
  });
  return running;
}

async function look() {
  while (wanted) {
    wanted = false;
    const asked = await Promise.allSettled([
      api.accounts(status, position).catch((problem) => {
        if (problem.status === 409) position = 0; // the log ends before it: it is not the log that was known
        throw problem;
      }),
      api.standings(),
      api.orders(decided),
      showFunctions(api.status),
    ]);
    const [mine, theirs, orders, functions] = asked.map(({ value }) => value);
    if (theirs) standings = new Map(theirs.items.map((each) => [each.account, each]));
    if (mine) accounts = mine.items;
    if (mine || theirs) draw(mine ? mine.more : !get("accounts-more").hidden);
    if (orders) showOrders(orders.items, accounts);
    if (functions?.queries) billed = functions.queries.billed;
    behind = Object.values(functions ?? {}).some((each) => each?.lag || each?.reactor?.pending);
    const down = Object.values(functions ?? {}).filter((each) => each === null).length;
    connection(down === 0 ? "live" : down === 4 ? "lost" : "part", down);
  }
}

function connection(state, down) {
  get("connection").dataset.state = state;
  const words = { live: "Live", lost: "Connection lost, trying again", part: `${down} of 4 not reachable` }[state];
  if (get("connection-text").textContent !== words) get("connection-text").textContent = words;
}

// -- Commands and orders --

async function change(account, name, reason) {
  const done = await api.change(account.id, name, reason, account.revision).catch((problem) => {
    if (problem.status === 412 || problem.status === 404) refresh();
    throw problem;
  });
  position = Math.max(position, done.position);
  say(`${account.name} is ${done.value.status}.`);
  refresh();
}

async function order(account, item, quantity) {
  try {
    const done = await api.order(account.id, item, quantity);
    decided = Math.max(decided, done.position);
    toast(`Accepted: ${quantity} × ${item} for ${account.name}.`);
  } catch (problem) {
    if (problem.value?.decision !== "refused") throw problem;
    decided = Math.max(decided, problem.value.position);
    toast(problem.message, true);
  }
  refresh();
}

get("open").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = input.value.trim();
  if (!name) return refuse("Write the name of the account, then press Enter.");
  const asked = unsure?.name === name ? unsure : { name, key: api.newKey() };
  unsure = null;
  input.value = "";
  try {
    const done = await api.openAccount(name, asked.key);
    position = Math.max(position, done.position);
    say(`Opened: ${name}`);
    if (status) filter("");
    await refresh();
  } catch (problem) {
    if (api.open(problem)) unsure = asked;
    if (!input.value) input.value = name; // nothing that was typed is lost
    refuse(problem.message);
  }
});

function refuse(message) {
  get("open-error").textContent = message;
  get("open-error").hidden = false;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

input.addEventListener("input", () => {
  get("open-error").hidden = true;
  input.removeAttribute("aria-invalid");
});

function filter(wish) {
  status = wish;
  for (const button of document.querySelectorAll(".filter button")) {
    button.setAttribute("aria-pressed", String(button.dataset.status === wish));
  }
}

document.querySelector(".filter").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  filter(button.dataset.status);
  refresh();
});

// -- Messages --

let hiding = 0;

function toast(message, bad = false) {
  get("toast").classList.toggle("bad", bad);
  get("toast").hidden = false;
  get("toast-text").textContent = message; // a status region: read out when its text changes
  clearTimeout(hiding);
  hiding = setTimeout(hide, 8_000);
}

function hide() {
  if (get("toast").contains(document.activeElement)) input.focus(); // the focus must not vanish with the message
  get("toast").hidden = true;
  get("toast-text").textContent = "";
}

get("toast-close").addEventListener("click", hide);

function say(message) {
  get("announcer").textContent = message;
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
addEventListener("online", refresh);
refresh();
