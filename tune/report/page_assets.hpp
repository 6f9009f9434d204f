#pragma once
// The report page's style sheet and script.
#include <string_view>

namespace manta::tune {

inline constexpr std::string_view kPageStyle = R"css(
:root { color-scheme: light; }
body { margin: 0; background: #f4f6f8; color: #1a2330; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 4px 0 14px; } h1 small { font-size: 14px; color: #8a4b00; font-weight: 600; margin-left: 8px; }
h2 { font-size: 18px; margin: 0 0 8px; }
figure, dl, .card { background: #fff; border: 1px solid #dde3ea; border-radius: 8px; padding: 16px 20px; margin: 0 0 18px; }
figcaption { color: #47566a; font-size: 13.5px; margin-top: 6px; }
.card { border-left: 4px solid #c2410c; font-size: 16px; }
.params { margin-top: 8px; font-size: 14px; } .params span { display: inline-block; margin: 2px 18px 2px 0; color: #47566a; } .params b { color: #1a2330; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 14px; }
dt { color: #47566a; } dd { margin: 0; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; } .narrow { max-width: 790px; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 10px 12px; }
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; fill: #2b3848; }
.title { font-size: 12.5px; fill: #1a2330; } .strong { font-weight: 600; fill: #1a2330; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.halo { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: #e6ebf0; fill: none; } .frame { stroke: #66758a; fill: none; }
.dot { fill: #6b8fb8; fill-opacity: .65; } .enddot { fill-opacity: .9; } .slicedot { fill-opacity: .85; }
.best { fill: none; stroke: #c2410c; stroke-width: 2.2; } .bestdot { stroke: #c2410c; stroke-width: 2.2; } circle.bestdot:not([fill]) { fill: #fff; }
.line { fill: none; stroke-width: 1.3; stroke-opacity: .8; } .bestline { stroke: #c2410c; stroke-width: 2.6; stroke-opacity: 1; }
.rung { stroke: #7a4fb5; stroke-dasharray: 4 4; fill: none; }
.bar { fill: #2b6fb8; } .bar.pair { fill: #a9c6e4; } .spread { stroke: #1a2330; stroke-width: 1.4; fill: none; }
.scroll { overflow: auto; max-height: 560px; } table { border-collapse: collapse; font-size: 13.5px; width: 100%; }
th, td { padding: 4px 10px; text-align: left; border-bottom: 1px solid #e6ebf0; white-space: nowrap; } .n { text-align: right; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f4f6f8; } #trials th { cursor: pointer; } pre { margin: 0; white-space: pre-wrap; font-size: 12.5px; }
td.ERROR { color: #b42318; font-weight: 600; } td.RUNNING { color: #8a4b00; font-weight: 600; }
path.hot { stroke: #111827; stroke-width: 3.2; stroke-opacity: 1; } circle.hot { fill: #111827; fill-opacity: 1; } tr.hot td { background: #fff1e6; }
#tip { position: fixed; pointer-events: none; background: #1a2330; color: #fff; padding: 8px 11px; border-radius: 6px; font-size: 13px; white-space: pre-line; max-width: 380px; z-index: 2; }
@media print { body { background: #fff; } figure { break-inside: avoid; } .scroll { max-height: none; } }
)css";

inline constexpr std::string_view kPageScript = R"js(
const tip = document.getElementById('tip');
let hot = null, pinned = false;
function mark(t) {
  if (t === hot) return;
  document.querySelectorAll('.hot').forEach(e => e.classList.remove('hot'));
  hot = t;
  if (t === null) { tip.hidden = true; return; }
  document.querySelectorAll('[data-t="' + t + '"]').forEach(e => { e.classList.add('hot'); if (e.tagName === 'path') e.parentNode.append(e); });
  const [name, text] = trials[t] || ['trial ' + t, ''];
  tip.textContent = name + '\n' + text;
  tip.hidden = false;
}
document.addEventListener('mousemove', e => {
  if (!pinned) { const at = e.target.closest('svg [data-t], #trials [data-t]'); mark(at ? at.dataset.t : null); }
  const right = e.clientX + 16 + tip.offsetWidth > innerWidth, below = e.clientY + 16 + tip.offsetHeight > innerHeight;
  tip.style.left = (right ? e.clientX - 12 - tip.offsetWidth : e.clientX + 16) + 'px';
  tip.style.top = (below ? e.clientY - 12 - tip.offsetHeight : e.clientY + 16) + 'px';
});
document.addEventListener('click', e => {
  const at = e.target.closest('svg [data-t], #trials [data-t]');
  pinned = false; mark(at ? at.dataset.t : null); pinned = at !== null;
});
document.addEventListener('keydown', e => { if (e.key === 'Escape') { pinned = false; mark(null); } });
document.querySelectorAll('#trials th').forEach((th, column) => th.addEventListener('click', () => {
  const body = document.querySelector('#trials tbody'), up = th.dataset.up !== '1';
  th.dataset.up = up ? '1' : '0';
  const key = row => row.children[column].textContent;
  const number = text => text === '' || isNaN(text) ? null : Number(text);
  const compare = (a, b) => {
    const x = number(key(a)), y = number(key(b));
    if (x !== null && y !== null) return up ? x - y : y - x;
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    return (up ? 1 : -1) * key(a).localeCompare(key(b));
  };
  [...body.children].sort(compare).forEach(row => body.append(row));
}));
)js";

}  // namespace manta::tune
