// Drawing: each list is drawn from values, and its rows are kept by their keys, so that focus and animations are.

export const by = (id) => document.getElementById(id);
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const clock = (date) => time.format(date);
export const moment = (date) => day.format(date);

// "3 d 4 h", "23 h 59 min", "4 min 10 s", "12 s"
export function span(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  const parts = hours >= 48 ? [Math.floor(hours / 24), "d", hours % 24, "h"] : hours ? [hours, "h", minutes, "min"] : minutes ? [minutes, "min", rest, "s"] : [rest, "s"];
  return (parts[2] === 0 ? parts.slice(0, 2) : parts).join(" ");
}

// Rows of a list: made by `make(value)`, drawn by `draw(row, value)`, told apart by `key(value)`.
export function rows(list, values, key, make, draw) {
  const present = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const drawn = list.dataset.drawn === "yes";
  let before = list.firstElementChild;
  for (const value of values) {
    const name = key(value);
    let row = present.get(name);
    if (row === undefined) {
      row = make(value);
      row.dataset.key = name;
      if (drawn) row.classList.add("arrived");
    }
    present.delete(name);
    draw(row, value);
    if (row === before) before = before.nextElementSibling;
    else list.insertBefore(row, before);
  }
  for (const row of present.values()) row.remove();
  list.dataset.drawn = "yes";
}

export const copy = (id) => () => by(id).content.firstElementChild.cloneNode(true);

// A row of the leaderboard; it tells when its rank has moved.
export function ranked(list, entries, me) {
  rows(
    list,
    entries,
    (entry) => entry.player.name,
    () => {
      const row = document.createElement("li");
      for (const name of ["rank", "moved", "who", "points"]) {
        const part = document.createElement("span");
        part.className = name;
        row.append(part);
      }
      return row;
    },
    (row, { rank, player }) => {
      const part = (name) => row.querySelector(`.${name}`);
      const was = Number(row.dataset.rank ?? rank);
      if (was !== rank) {
        part("moved").textContent = rank < was ? "▲" : "▼";
        part("moved").dataset.way = rank < was ? "up" : "down";
        part("moved").title = `was ${was}`;
        row.classList.remove("shifted");
        void row.offsetWidth; // begin the animation anew
        row.classList.add("shifted");
      }
      row.dataset.rank = rank;
      row.classList.toggle("me", player.name === me);
      part("rank").textContent = rank;
      part("who").textContent = player.name;
      part("points").textContent = player.points;
      part("points").title = `${player.posts} posts, ${player.likes} likes`;
    },
  );
}
