// Draws nothing. Whatever components need comes to the browser while the page is worked out, not when the table comes.
export default function () {}
