"use strict";
const cards = Array.from(document.querySelectorAll("article"));
const inputs = Array.from(document.querySelectorAll("[data-filter]"));
const fits = {
  text: (card, value) => value.toLowerCase().split(/\s+/).every((word) => card.dataset.text.includes(word)),
  state: (card, value) => card.dataset.state === value || card.dataset.reason === value,
};
function apply() {
  let visible = 0;
  for (const card of cards) {
    const shows = inputs.every(({ value, dataset: { filter } }) =>
      !value || (fits[filter] ? fits[filter](card, value) : card.dataset[filter] === value));
    card.hidden = !shows;
    visible += shows ? 1 : 0;
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  const count = document.getElementById("count");
  if (count) count.textContent = `${visible} of ${cards.length} icons`;
}
// A link like Animals.html#state=dropped&author=Servier opens with these filters set.
function fromAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    for (const input of inputs) if (input.dataset.filter === name) input.value = value;
  }
  apply();
}
for (const input of inputs) input.addEventListener("input", apply);
document.querySelector("form")?.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", fromAddress);
if (inputs.length) fromAddress();
