// What somebody has drawn and not saved. While there is some, the browser asks before it leaves the page.

const holders = new Set();

/** Browsers ask in their own words. A page that always listened could not be kept for the way back. */
function ask(event) {
  event.preventDefault();
  event.returnValue = true; // for browsers that do not know the line before
}

/** Note whether something of this holder would be lost. */
export function hold(holder, yes) {
  if (yes) holders.add(holder);
  else holders.delete(holder);
  if (holders.size) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
}

/** Load the page again by itself, which waits until nothing would be lost. */
export function reload() {
  if (!holders.size) location.reload();
}
