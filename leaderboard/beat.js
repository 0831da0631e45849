// Asks for news every so often, but not from a click until the page is drawn again: the click may lead to another page.
// Streamlit's own timers go on asking for the page that is being left, and its server then answers with an empty page.

const LONGEST = 15_000; // milliseconds until a click is taken to have led nowhere, unless the page is being drawn
const DRAWING = "[data-test-script-state=running]";
let clicked = -Infinity;
let drawn = 0;
let timer;

document.addEventListener("click", () => { clicked = Date.now(); }, true);
addEventListener("popstate", () => { clicked = Date.now(); }); // back and forward lead to another page too

export default function ({ data, setTriggerValue }) {
  if (data.drawn < drawn) return; // of a page that has been left
  if (data.drawn > drawn) clicked = -Infinity;
  drawn = data.drawn;
  clearInterval(timer);
  timer = setInterval(() => {
    if (Date.now() - clicked > LONGEST && !document.querySelector(DRAWING)) setTriggerValue("asked", Date.now());
  }, data.milliseconds);
}
