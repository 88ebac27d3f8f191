// One message at the foot of the window. It stays long enough to be read, and as long as somebody is on it.

const STAY = 8_000;

export class Toast {
  constructor(onUndo) {
    this.root = document.getElementById("toast");
    this.text = document.getElementById("toast-text");
    this.undo = document.getElementById("toast-undo");
    this.timer = 0;
    this.undo.addEventListener("click", onUndo);
    document.getElementById("toast-close").addEventListener("click", () => this.hide());
    for (const type of ["mouseenter", "focusin"]) this.root.addEventListener(type, () => clearTimeout(this.timer));
    for (const type of ["mouseleave", "focusout"]) this.root.addEventListener(type, () => this.wait());
  }

  show(message, undoable = false, bad = false) {
    const held = this.root.contains(document.activeElement);
    this.undo.hidden = !undoable;
    this.root.classList.toggle("bad", bad);
    this.root.hidden = false;
    this.text.textContent = message; // a status region: read out when its text changes
    if (held && !undoable) this.release();
    this.wait();
  }

  bad(message) {
    this.show(message, false, true);
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), STAY);
  }

  hide() {
    clearTimeout(this.timer);
    if (this.root.contains(document.activeElement)) this.release();
    this.root.hidden = true;
    this.text.textContent = "";
  }

  // The focus must not vanish with the message.
  release() {
    document.getElementById("new-text").focus();
  }
}

export function say(message) {
  document.getElementById("announcer").textContent = message;
}
