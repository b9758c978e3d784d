"use strict";
// One player at a time; a line over the pictures that follows it; a click on a picture seeks.
// Pictures with time on their x axis span these shares of their width (lh_mm/audio/pictures.py).
const LEFT = 0.085, RIGHT = 0.98;
const players = [...document.querySelectorAll("audio")];
for (const audio of players) {
  audio.addEventListener("play", () => { for (const other of players) if (other !== audio) other.pause(); });
  const timeline = audio.closest("figure").querySelector(".timeline");
  if (!timeline) continue;
  const cursor = timeline.querySelector(".cursor");
  const duration = () => Number.isFinite(audio.duration) ? audio.duration : Number(audio.dataset.duration);
  const draw = () => {
    cursor.hidden = audio.currentTime === 0;
    cursor.style.left = 100 * (LEFT + (RIGHT - LEFT) * Math.min(1, audio.currentTime / duration())) + "%";
  };
  const follow = () => { draw(); if (!audio.paused) requestAnimationFrame(follow); };
  audio.addEventListener("play", follow);
  audio.addEventListener("seeked", draw);
  timeline.addEventListener("click", (event) => {
    const box = timeline.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width - LEFT) / (RIGHT - LEFT);
    audio.currentTime = Math.max(0, Math.min(1, share)) * duration();
  });
}
