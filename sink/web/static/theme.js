// Runs before anything is painted, so that nothing flashes.
"use strict";
{
  let kept = null;
  try {
    kept = localStorage.getItem("theme");
  } catch {
    // storage may be forbidden: the system's choice will do
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
