// One message at the foot of the window. It stays long enough to be read, and as long as somebody is on it.

const STAY = 8_000;
const root = document.getElementById("toast");
const text = document.getElementById("toast-text");
let timer = 0;

const hide = () => {
  root.hidden = true;
  text.textContent = "";
};
const wait = () => {
  clearTimeout(timer);
  timer = setTimeout(hide, STAY);
};

document.getElementById("toast-close").addEventListener("click", hide);
for (const type of ["mouseenter", "focusin"]) root.addEventListener(type, () => clearTimeout(timer));
for (const type of ["mouseleave", "focusout"]) root.addEventListener(type, wait);

export function say(message, bad = false) {
  root.classList.toggle("bad", bad);
  root.hidden = false;
  text.textContent = message; // a status region: read out when its text changes
  wait();
}
