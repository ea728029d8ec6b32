// Points say below their chart what they are: the one under the pointer, or the one that was tapped. Without this
// script they are links into the leaderboard, and browsers show their titles.
for (const figure of document.querySelectorAll("figure")) {
  const told = figure.querySelector(".told");
  if (!told) continue;
  let chosen = null;
  const say = (point) => {
    told.textContent = point.querySelector("title").textContent;
    told.hidden = false;
    figure.querySelector(".point.on")?.classList.remove("on");
    point.classList.add("on");
  };
  figure.addEventListener("pointerover", (event) => {
    const point = event.target.closest(".point");
    if (point && !chosen) say(point);
  });
  figure.addEventListener("focusin", (event) => {
    const point = event.target.closest(".point");
    if (point) say(point);
  });
  figure.addEventListener("click", (event) => {
    const point = event.target.closest(".point");
    if (!point) return;
    event.preventDefault();
    chosen = chosen === point ? null : point;
    say(point);
  });
}
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
