// The page: what is asked for, how often, and what is done with the answers.

import { command, Former, get, keepToken, Problem, signedIn } from "/static/http.js";
import { by, clock, copy, moment, ranked, rows, span } from "/static/draw.js";
import { say } from "/static/toast.js";
import { full } from "/static/traffic.js";

const OFTEN = 1_500; // milliseconds between two looks
const RARELY = 5_000; // where each look costs money
const PER_PAGE = 8;

let me = null; // { user, ends } of the session, by this machine's clock
let overview = null; // what the clock and the dead letters are, which is asked for less often
let overviewDue = 0;
let shown = PER_PAGE; // how many posts

// -- Errors: told where they belong --

function fault(error, where) {
  if (!(error instanceof Problem)) throw error;
  if (error instanceof Former) return; // whoever asked is not here any more
  if (error.status === 401 && me) {
    signedOut();
    say("Your session has ended. Please sign in again.", true);
    return;
  }
  if (where) {
    where.textContent = whole(error.message);
    where.hidden = false;
    if (error.status === 429) countDown(where, error.message);
  } else {
    say(error.message, true);
  }
}

const whole = (message) => message.replace(/ s\.$/, "\u00a0s."); // a number stays with its unit

const clear = (where) => {
  where.hidden = true;
  where.textContent = "";
};

// Do something that may be refused; `where` shows why.
async function attempt(work, where) {
  if (where) clear(where);
  try {
    const value = await work();
    overviewDue = 0;
    await refresh();
    return value ?? true;
  } catch (error) {
    fault(error, where);
    return undefined;
  }
}

// -- Told to wait: a number that counts down --

let counting = 0;

function countDown(where, message) {
  clearInterval(counting);
  let seconds = Number(/in ([0-9]+) s/.exec(message)?.[1] ?? 0);
  counting = setInterval(() => {
    seconds -= 1;
    if (where.hidden || !/Too many/.test(where.textContent)) clearInterval(counting);
    else if (seconds > 0) where.textContent = whole(message.replace(/in [0-9]+ s/, `in ${seconds} s`));
    else {
      clearInterval(counting);
      clear(where);
    }
  }, 1_000);
}

// -- Session --

// What is drawn for whoever signed in goes with the session.
function signedOut() {
  keepToken(null);
  me = null;
  overview = null;
  overviewDue = 0;
  announced = null;
  for (const id of ["reports", "reminders", "dead"]) {
    by(id).replaceChildren();
    delete by(id).dataset.drawn;
  }
  for (const id of ["reports-empty", "dead-empty"]) by(id).hidden = false;
  for (const id of ["next-run", "last-run"]) by(id).textContent = "–";
  for (const id of ["dead-count", "reminder-after"]) by(id).textContent = "";
  for (const id of ["write-error", "remind-error"]) clear(by(id));
  by("around").hidden = true;
  full();
  drawSession();
  refresh().catch(() => {}); // the posts again, without what was possible with them
}

function began(session) {
  me = { user: session.user, ends: performance.now() + session.seconds_left * 1_000 };
  drawSession();
}

function drawSession() {
  const inside = me !== null;
  by("session").hidden = !inside;
  by("sign-in-card").hidden = inside;
  by("write-card").hidden = !inside;
  for (const id of ["report", "report-fails", "reminder-text", "remind-button", "clean-up"]) by(id).disabled = !inside;
  if (inside) by("who").textContent = me.user;
  tick();
}

by("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const done = await attempt(async () => {
    const session = await command("POST", "/session", { name: by("name").value.trim().toLowerCase() });
    keepToken(session.token);
    began(session);
  }, by("sign-in-error"));
  if (done) {
    by("name").value = "";
    by("text").focus();
  } else {
    by("name").focus();
  }
});

by("prolong").addEventListener("click", () => attempt(async () => began(await command("POST", "/session/prolong"))));
by("sign-out").addEventListener("click", async () => {
  leaving = true;
  try {
    await looking?.catch(() => {});
    await command("DELETE", "/session");
  } catch (error) {
    if (error.status !== 401) return fault(error); // it is not certain that the session has ended
  } finally {
    leaving = false;
  }
  signedOut();
  for (const id of ["write", "remind"]) by(id).reset(); // where a session ends by itself, what was being typed is kept
  by("name").focus();
});

// -- Posts --

by("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = by("text");
  const done = await attempt(() => command("POST", "/posts", { text: field.value }), by("write-error"));
  if (done) field.value = "";
  field.focus();
});
by("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    by("write").requestSubmit();
  }
});
by("burst").addEventListener("click", () =>
  attempt(async () => {
    for (let number = 1; number <= 11; number += 1) await command("POST", "/posts", { text: `Number ${number} of eleven` });
  }, by("write-error")).then(() => refresh()),
);
by("more").addEventListener("click", () => {
  shown = Math.min(shown + PER_PAGE, 100);
  refresh();
});
by("posts").addEventListener("click", (event) => {
  const button = event.target.closest(".like");
  if (!button) return;
  const liked = button.getAttribute("aria-pressed") === "true";
  attempt(() => command(liked ? "DELETE" : "PUT", `/posts/${button.closest(".post").dataset.key}/like`));
});

function drawPosts({ items, cursor }) {
  rows(by("posts"), items, (post) => post.id, copy("post-template"), (row, post) => {
    const part = (name) => row.querySelector(name);
    const written = new Date(post.written_at);
    part(".author").textContent = post.author;
    part("time").textContent = moment(written);
    part("time").dateTime = post.written_at;
    part(".said").textContent = post.text;
    part(".likes").textContent = post.liked_by.length || "";
    const button = part(".like");
    const mine = post.author === me?.user;
    button.setAttribute("aria-pressed", String(post.liked_by.includes(me?.user)));
    button.setAttribute("aria-label", `Like the post of ${post.author}, ${post.liked_by.length} so far`);
    button.disabled = me === null || mine;
    button.title = post.liked_by.length ? `Liked by ${post.liked_by.join(", ")}` : me === null ? "Sign in to like it" : mine ? "Your own" : "Like it";
  });
  by("posts-empty").hidden = items.length > 0;
  by("more").hidden = cursor === null || shown >= 100;
}

// -- Reports, reminders, the clock, dead letters --

const ask = (fails) => attempt(() => command("POST", "/reports", { fails }));
by("report").addEventListener("click", () => ask(false));
by("report-fails").addEventListener("click", () => ask(true));

const STATES = { queued: "Queued", working: "At work", ready: "Ready", failed: "Failed" };

function drawReports(reports) {
  rows(by("reports"), reports.slice(0, 5), (report) => report.id, copy("report-template"), (row, report) => {
    const part = (name) => row.querySelector(name);
    row.dataset.state = report.state;
    part(".badge").textContent = STATES[report.state];
    part("time").textContent = `asked at ${clock(new Date(report.asked_at))}`;
    const bar = part(".bar");
    bar.setAttribute("aria-valuemax", report.of);
    bar.setAttribute("aria-valuenow", report.done);
    part(".bar span").style.transform = `scaleX(${report.done / report.of})`;
    const { summary } = report;
    part(".outcome").textContent = summary
      ? `${count(summary.posts, "post")}, ${count(summary.likes, "like")}, ${count(summary.points, "point")}${summary.rank ? `, rank ${summary.rank}` : ""}${summary.best ? `. Best: “${summary.best.slice(0, 80)}”` : ""}`
      : report.reason ?? "";
  });
  by("reports-empty").hidden = reports.length > 0;
}

const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

by("remind").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = by("reminder-text");
  if (await attempt(() => command("POST", "/reminders", { text: field.value }), by("remind-error"))) field.value = "";
  field.focus();
});
by("reminders").addEventListener("click", (event) => {
  const button = event.target.closest(".drop");
  if (button) attempt(() => command("DELETE", `/reminders/${button.closest("li").dataset.key}`));
});

let announced = null; // notifications that were there when the page was opened are not announced

function drawReminders(reminders) {
  const due = reminders.filter((reminder) => reminder.came_at);
  for (const reminder of announced === null ? [] : due) if (!announced.has(reminder.id)) say(`Reminder: ${reminder.text}`);
  announced = new Set(due.map((reminder) => reminder.id));
  rows(by("reminders"), [...due, ...reminders.filter((reminder) => !reminder.came_at)], (reminder) => reminder.id, copy("reminder-template"), (row, reminder) => {
    row.classList.toggle("came", Boolean(reminder.came_at));
    row.querySelector(".text").textContent = reminder.text;
    row.dataset.due = reminder.came_at ? "" : reminder.due;
    if (reminder.came_at) row.querySelector(".when").textContent = `came ${moment(new Date(reminder.came_at))}`;
    row.querySelector(".drop").setAttribute("aria-label", `${reminder.came_at ? "Dismiss" : "Cancel"}: ${reminder.text}`);
  });
  tick();
}

by("clean-up").addEventListener("click", () => attempt(() => command("POST", "/clean-up")).then((done) => done && say("Sent. The clean-up runs in the background.")));
by("dead").addEventListener("click", (event) => {
  const button = event.target.closest(".revive");
  if (button) attempt(() => command("POST", `/dead-letters/${encodeURIComponent(button.closest("li").dataset.key)}/revive`));
});

function drawOverview() {
  const last = overview.clean_ups;
  by("cron").textContent = overview.cron;
  by("reminder-after").textContent = `${span(overview.reminder_after)} later`;
  by("last-run").textContent = last ? `${moment(new Date(last.last_at))}, ${count(last.archived, "post")} archived` : "not yet";
  const dead = overview.dead_letters;
  by("dead-count").textContent = dead.length ? String(dead.length) : "";
  by("dead-empty").hidden = dead.length > 0;
  rows(by("dead"), dead, (letter) => letter.id, copy("dead-template"), (row, letter) => {
    const path = new URL(letter.destination, location).pathname;
    row.querySelector(".to").textContent = path;
    row.querySelector(".why").textContent = `${letter.error}, at ${clock(new Date(letter.at))}`;
    row.querySelector(".revive").setAttribute("aria-label", `Deliver again: ${path}`);
  });
}

// -- What moves by itself, once a second --

function tick() {
  if (me) {
    const left = (me.ends - performance.now()) / 1_000;
    by("left").textContent = span(left);
    by("left").dataset.state = left < 60 ? "soon" : "fine";
  }
  for (const row of by("reminders").children) {
    if (row.dataset.due) {
      const left = (new Date(row.dataset.due) - Date.now()) / 1_000;
      row.querySelector(".when").textContent = left > 0 ? `in ${span(left)}` : "any moment";
    }
  }
  if (overview) by("next-run").textContent = overview.paused ? "paused" : `in ${span((new Date(overview.next_run) - Date.now()) / 1_000)}`;
}

setInterval(tick, 1_000);

// -- Looking: what everybody may see, and what is mine --

let looking = null;
let again = false;
let leaving = false; // a look that overtakes signing out would be refused

function refresh() {
  if (leaving) return Promise.resolve();
  again = true;
  looking ??= look().finally(() => (looking = null));
  return looking;
}

async function look() {
  while (again) {
    again = false;
    try {
      await everybodys();
    } catch (error) {
      if (!(error instanceof Former)) throw error;
      again = true; // somebody has signed in or out meanwhile
    }
  }
}

async function everybodys() {
  const [listing, board] = await Promise.all([get(`/posts?limit=${shown}`), get("/leaderboard?n=5")]);
  by("cache").dataset.state = listing.changed ? "fetched" : "kept";
  by("cache").textContent = listing.changed ? "200, fetched" : "304, from cache";
  drawPosts(listing.value);
  ranked(by("board"), board.value, me?.user);
  by("board-empty").hidden = board.value.length > 0;
  if (me) await mine(board.value);
}

async function mine(best) {
  const [reports, reminders] = await Promise.all([get("/reports"), get("/reminders")]);
  drawReports(reports.value);
  drawReminders(reminders.value);
  if (performance.now() >= overviewDue) {
    overview = (await get("/overview")).value;
    const open = reports.value.some((report) => report.state !== "ready"); // its message may be a dead letter soon
    overviewDue = performance.now() + (!overview.billed ? 2 * OFTEN : open ? RARELY : 6 * RARELY);
    drawOverview();
  }
  const inside = best.some((entry) => entry.player.name === me.user);
  if (inside) {
    by("around").hidden = true;
    return;
  }
  const around = (await get(`/leaderboard/${me.user}`)).value;
  by("around").hidden = around.length === 0;
  ranked(by("around-board"), around, me.user);
}

let reachable = true;

async function run() {
  if (!document.hidden) {
    try {
      await refresh();
      if (!reachable) say("Connected again.");
      reachable = true;
    } catch (error) {
      if (error.status === 401) fault(error);
      else if (reachable) fault(error);
      reachable = error.status !== 0;
    }
  }
  setTimeout(run, overview?.billed ? RARELY : OFTEN);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh().catch(() => {}));

async function begin() {
  full();
  if (signedIn()) {
    try {
      began((await get("/session")).value);
    } catch {
      signedOut();
    }
  }
  drawSession();
  run();
}

begin();
