// The page: users with their meters, and how the table stands to the view. It asks every two seconds.

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const EVERY = 2000;

let seen = 0; // the position of this page's last command: what is shown next includes it

async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "content-type": "application/json", "idempotency-key": crypto.randomUUID() },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? response.statusText);
  if (answer.position && method !== "GET" && path !== "/sync") seen = Math.max(seen, answer.position);
  return answer;
}

function tell(text, bad = false) {
  $("told").textContent = text;
  $("told").classList.toggle("bad", bad);
}

async function attempt(button, work) {
  button.disabled = true;
  try {
    tell((await work()) ?? "");
  } catch (error) {
    tell(error.message, true);
  } finally {
    button.disabled = false;
    await look();
  }
}

function show(overview) {
  $("month").textContent = overview.month;
  const plans = document.forms.register.plan;
  if (!plans.options.length) {
    for (const [plan, calls] of Object.entries(overview.plans)) {
      plans.add(new Option(`${plan}: ${number.format(calls)} calls a month`, plan));
    }
  }
  showUsers(overview.busiest);
  showTable(overview);
}

function showUsers(users) {
  const list = $("users");
  const rows = new Map([...list.children].map((row) => [row.dataset.user, row]));
  for (const [place, user] of users.entries()) {
    const row = rows.get(user.user) ?? made(user.user);
    rows.delete(user.user);
    fill(row, user);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  }
  for (const row of rows.values()) row.remove();
  $("nobody").hidden = users.length > 0;
  $("more").hidden = users.length < 20; // the server shows no more
}

function made(user) {
  const row = $("user").content.firstElementChild.cloneNode(true);
  row.dataset.user = user;
  row.querySelector(".name").textContent = user;
  const path = `/users/${encodeURIComponent(user)}/calls`;
  const call = () => send("POST", path, { endpoint: "/v1/search" });
  row.querySelector(".call").ariaLabel = `Call in the name of ${user}`;
  row.querySelector(".calls").ariaLabel = `Call 10 times in the name of ${user}`;
  row.querySelector(".call").addEventListener("click", (event) =>
    attempt(event.currentTarget, async () => `${number.format((await call()).remaining)} calls are left to ${user}.`));
  row.querySelector(".calls").addEventListener("click", (event) =>
    attempt(event.currentTarget, async () => {
      let left = 0;
      for (let count = 0; count < 10; count += 1) left = (await call()).remaining;
      return `${number.format(left)} calls are left to ${user}.`;
    }));
  return row;
}

function fill(row, user) {
  row.querySelector(".plan").textContent = user.plan;
  const meter = row.querySelector(".meter");
  const share = Math.min(1, user.used / user.allowed);
  meter.ariaLabel = `Calls of ${user.user} this month`;
  meter.ariaValueMax = user.allowed;
  meter.ariaValueNow = user.used;
  meter.firstElementChild.style.width = `${share * 100}%`;
  meter.classList.toggle("near", share >= 0.8 && share < 1);
  meter.classList.toggle("full", share >= 1);
  row.querySelector(".used").textContent = `${number.format(user.used)} of ${number.format(user.allowed)}`;
  const copy = row.querySelector(".copy");
  const behind = user.table !== user.used;
  copy.classList.toggle("behind", behind);
  copy.textContent = user.table === null ? "not in the table yet" : behind ? `table: ${number.format(user.table)}` : "table: the same";
}

function showTable({ view, table, busiest }) {
  const behind = table.position === null ? busiest.length > 0 : table.position < view.head || !table.complete;
  $("state").textContent = behind ? "behind" : "in step";
  $("state").classList.toggle("behind", behind);
  $("head").textContent = number.format(view.head);
  $("view").textContent = number.format(view.position);
  $("position").textContent = table.position === null ? "–" : number.format(table.position);
  $("rows").textContent = number.format(table.users);
  $("calls").textContent = number.format(table.calls);
  $("last").textContent = table.at === null
    ? "none by this process yet"
    : `${new Date(table.at).toLocaleTimeString("en-GB")}: ${number.format(table.written)} written, ${number.format(table.deleted)} deleted`;
}

async function look() {
  try {
    show(await send("GET", `/overview?at_least=${seen}`));
  } catch (error) {
    tell(error.message, true);
  }
}

document.forms.register.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  attempt(form.querySelector("button"), async () => {
    const user = form.user.value.trim();
    await send("POST", "/users", { user, plan: form.plan.value });
    form.user.value = "";
    form.user.focus();
    return `${user} is registered.`;
  });
});

$("run").addEventListener("click", (event) =>
  attempt(event.currentTarget, async () => {
    await send("POST", "/sync", {});
    return "The job is called: a message, answered at once.";
  }));

$("half").addEventListener("click", (event) =>
  attempt(event.currentTarget, async () => {
    const { complete } = await send("POST", "/sync", { half_way: true });
    return complete ? "One step was enough: the table is in step." : "One step is done, and the rest is not: run the job, and it goes on.";
  }));

await look();
setInterval(() => document.hidden || look(), EVERY);
