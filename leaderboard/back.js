// The provider sends whoever signed in to the first page, in a new session: this leads back to where they asked to.

const KEY = "paredown: signing in at";

document.addEventListener("click", ({ target }) => {
  const button = target instanceof Element && target.closest("button");
  if (button && button.textContent.trim().startsWith("Sign in")) {
    sessionStorage.setItem(KEY, location.pathname + location.search);
  }
}, true);

export default function ({ data }) {
  const at = sessionStorage.getItem(KEY);
  if (!data.signed_in || at === null) return;
  sessionStorage.removeItem(KEY);
  location.replace(location.origin + at); // of this site whatever was kept
}
