// Players and drawings of cards: a mark that follows the sound, clicks that move it.
const cardOf = element => element.closest(".card");
const playersOf = card => [...card.querySelectorAll("audio")];
const startOf = player => Number(player.dataset.start);
const endOf = player => Number(player.dataset.end);
let stopAt = null;

function playFrom(card, seconds, until) {
  const holds = player => startOf(player) <= seconds && seconds < endOf(player);
  const player = playersOf(card).find(holds);
  if (!player) return;
  stopAt = until === null ? null : { player, seconds: until - startOf(player) };
  player.currentTime = seconds - startOf(player);
  if (until !== null) player.play();
}

document.addEventListener("click", event => {
  const button = event.target.closest(".play");
  if (button) {
    playFrom(cardOf(button), Number(button.dataset.start), Number(button.dataset.end));
    return;
  }
  const track = event.target.closest(".track");
  if (!track) return;
  const box = track.getBoundingClientRect();
  const [left, right] = [Number(track.dataset.left), Number(track.dataset.right)];
  const share = ((event.clientX - box.left) / box.width - left) / (right - left);
  if (0 <= share && share <= 1) playFrom(cardOf(track), share * Number(track.dataset.seconds), null);
});

document.addEventListener("play", event => {
  document.querySelectorAll("audio").forEach(other => {
    if (other !== event.target) other.pause();
  });
}, true);

document.addEventListener("timeupdate", event => {
  const player = event.target;
  const track = cardOf(player).querySelector(".track");
  const mark = track.querySelector(".playhead");
  const [left, right] = [Number(track.dataset.left), Number(track.dataset.right)];
  const at = (startOf(player) + player.currentTime) / Number(track.dataset.seconds);
  mark.hidden = false;
  mark.style.left = `${100 * (left + at * (right - left))}%`;
  if (stopAt && stopAt.player === player && player.currentTime >= stopAt.seconds) {
    player.pause();
    stopAt = null;
  }
}, true);
