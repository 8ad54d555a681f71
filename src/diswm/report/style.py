"""The page's style sheet: paper or night, desk, phone or print, with the fonts that the reader already has."""

CSS = """
:root {
  color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace;
  --page: #f6f7f9; --card: #ffffff; --paper: #ffffff; --ink: #1b2130; --muted: #5b6474; --grid: #e3e6eb;
  --seen: #0072b2; --unseen: #d55e00; --random: #757b85; --open: #b8548f; --kept: #00805e; --raw: #98a2b3;
  --amber: #a87b00; --violet: #6a4fb3; --brown: #7a4a21;
  --shadow: 0 1px 2px rgb(20 30 50 / .05), 0 6px 24px rgb(20 30 50 / .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10141b; --card: #181d27; --paper: #181d27; --ink: #e8ebf1; --muted: #a3adbd; --grid: #2c3441;
    --seen: #5cb8f0; --unseen: #ff9352; --random: #a0a8b4; --open: #e794c6; --kept: #4cc9a0; --raw: #7f8a9b;
    --amber: #e8bf4d; --violet: #b39cf5; --brown: #d3a67c; --shadow: none;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.6 var(--font); }
main, header, footer, .top, nav ul { max-width: 1040px; margin: 0 auto; padding: 0 24px; }
a { color: var(--seen); text-underline-offset: .2em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--seen); outline-offset: 3px; border-radius: 4px; }
code, pre { font-family: var(--mono); font-size: .9em; overflow-wrap: anywhere; }
header { padding-top: 56px; padding-bottom: 28px; }
.eyebrow { margin: 0 0 10px; color: var(--muted); font-size: .82rem; letter-spacing: .09em; text-transform: uppercase; font-weight: 600; }
h1 { margin: 0; font-size: clamp(1.9rem, 5.2vw, 3.1rem); line-height: 1.1; letter-spacing: -.025em; font-weight: 720;
  overflow-wrap: anywhere; }
.route { margin: 14px 0 0; font-size: 1.12rem; color: var(--muted); overflow-wrap: anywhere; }
.route b { color: var(--ink); font-weight: 620; }
.route .arrow { color: var(--seen); padding: 0 .35em; }
.headline { display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; margin: 0 0 16px; padding: 0; }
.headline > div { background: var(--card); border: 1px solid var(--grid); border-top: 3px solid var(--tone, var(--grid));
  border-radius: 10px; padding: 14px 16px; box-shadow: var(--shadow); grid-column: span 2; min-width: 0; }
.headline dt { color: var(--muted); font-size: .84rem; line-height: 1.35; }
.headline dd { margin: 4px 0 0; font-variant-numeric: tabular-nums; }
.headline .big { font-size: clamp(1.35rem, 3.4vw, 1.95rem); font-weight: 680; letter-spacing: -.02em; line-height: 1.15; }
.headline .sub { color: var(--muted); font-size: .82rem; line-height: 1.4; }
.seen { --tone: var(--seen); } .unseen { --tone: var(--unseen); } .random { --tone: var(--random); }
.verdict { background: var(--card); border: 1px solid var(--grid); border-left: 4px solid var(--seen); border-radius: 10px;
  padding: 14px 20px; margin: 0 0 8px; box-shadow: var(--shadow); }
.verdict p { margin: .35em 0; } .verdict .fine { color: var(--muted); font-size: .9rem; }
nav { position: sticky; top: 0; z-index: 2; background: color-mix(in srgb, var(--page) 92%, transparent); backdrop-filter: blur(8px);
  border-bottom: 1px solid var(--grid); margin: 20px 0 0; }
nav ul { display: flex; gap: 22px; list-style: none; overflow-x: auto; scrollbar-width: none; }
nav a { display: block; padding: 11px 0; color: var(--muted); text-decoration: none; font-size: .9rem; white-space: nowrap; }
nav a:hover { color: var(--ink); }
section { padding-top: 44px; scroll-margin-top: 20px; }
h2 { margin: 0 0 6px; font-size: 1.5rem; letter-spacing: -.015em; line-height: 1.25; }
h3 { margin: 28px 0 6px; font-size: 1.06rem; }
.lead { margin: 0 0 16px; color: var(--muted); max-width: 68ch; } .after { margin-top: 12px; }
figure { margin: 14px 0; background: var(--card); border: 1px solid var(--grid); border-radius: 12px; padding: 18px;
  box-shadow: var(--shadow); }
figure svg { display: block; width: 100%; height: auto; } svg.narrow { display: none !important; } figure svg * { stroke-linejoin: round; }
figcaption { margin-top: 12px; padding-top: 10px; border-top: 1px solid var(--grid); color: var(--muted); font-size: .92rem;
  line-height: 1.5; max-width: none; }
.films { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 14px; }
.films figure { margin: 0; } .film { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 6px; }
.films figcaption b { color: var(--tone, var(--ink)); }
.clip { display: grid; grid-template-columns: minmax(0, 460px) minmax(180px, 1fr); gap: 6px 28px; align-items: center; }
.clip figcaption { border-top: 0; padding: 0; margin: 0; }
.columns { display: grid; grid-template-columns: repeat(3, 1fr); text-align: center; color: var(--muted); font-size: .84rem;
  margin-bottom: 4px; }
.scroll { container-type: inline-size; overflow-x: auto; border: 1px solid var(--grid); border-radius: 12px; box-shadow: var(--shadow);
  margin: 14px 0;
  /* shade at an edge that hides more: the covers move with the table, the shades stay */
  --shade: color-mix(in srgb, var(--raw) 55%, transparent);
  background: linear-gradient(to right, var(--card) 35%, transparent) left / 42px 100% no-repeat local,
    linear-gradient(to left, var(--card) 35%, transparent) right / 42px 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 13px 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 13px 100% no-repeat scroll, var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem; }
caption { position: sticky; left: 0; max-width: 100cqi; text-align: left; padding: 14px 18px 4px; color: var(--muted); font-size: .9rem; }
th, td { padding: 10px 18px; text-align: left; border-top: 1px solid var(--grid); vertical-align: top; }
thead th { border-top: 0; color: var(--muted); font-weight: 550; font-size: .91em; } th[scope=row] { font-weight: 600; }
.facts tr:first-child > * { border-top: 0; } .facts th { width: 38%; }
td.num, th.num { text-align: right; white-space: nowrap; } td.num small { white-space: normal; text-wrap: balance; }
td.list { color: var(--muted); font-size: .91em; min-width: 16ch; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; background: var(--tone); margin-right: .55em; }
td small, th small { display: block; color: var(--muted); font-size: .87em; font-weight: 400; }
.open { color: var(--unseen); } .open b { font-weight: 620; }
.tag { display: inline-grid; grid-template-columns: 1.3em auto; min-width: 9ch; }
.dense table { font-size: .87rem; } .dense th, .dense td { padding: 8px 9px; }
.dense :is(th, td):first-child { padding-left: 18px; } .dense :is(th, td):last-child { padding-right: 18px; }
.side { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 14px;
  margin: 14px 0; }
.side figure { margin: 0; padding: 14px; } .side figcaption b { color: var(--ink); }
details .scroll, details figure { box-shadow: none; border-radius: 8px; }
.missing { border: 1px dashed var(--raw); border-radius: 12px; padding: 14px 18px; color: var(--muted); margin: 14px 0; }
details { background: var(--card); border: 1px solid var(--grid); border-radius: 12px; padding: 12px 18px; margin: 14px 0; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; line-height: 1.5; margin: 12px 0 4px; white-space: pre-wrap; }
footer { color: var(--muted); font-size: .88rem; padding-top: 44px; padding-bottom: 64px; } footer li { overflow-wrap: anywhere; }
@media (max-width: 700px) {
  main, header, footer, .top, nav ul { padding-left: 14px; padding-right: 14px; }
  header { padding-top: 34px; } section { padding-top: 34px; }
  .headline { grid-template-columns: repeat(2, 1fr); gap: 10px; } .headline > div { grid-column: span 1; padding: 12px; }
  figure { padding: 12px; } svg.wide { display: none !important; } svg.narrow { display: block !important; }
  .clip { grid-template-columns: 1fr; } .films { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
  th, td { padding: 9px 12px; } th[scope=row], td:not(.num) { min-width: 12ch; }
  td.list { min-width: 34ch; }
  .headline > div:last-child:nth-child(odd) { grid-column: span 2; }
}
@page { margin: 14mm 12mm; }
@media print {
  :root { --page: #fff; --card: #fff; --paper: #fff; --ink: #111; --muted: #444; --grid: #ccc; --shadow: none;
    --seen: #0072b2; --unseen: #d55e00; --random: #757b85; --open: #b8548f; --kept: #00805e; --raw: #98a2b3;
    --amber: #a87b00; --violet: #6a4fb3; --brown: #7a4a21; }
  nav { display: none; } body { font-size: 11pt; } section { padding-top: 22px; }
  figure, .scroll, .headline > div, .verdict, .lead, tr { break-inside: avoid; }
  .dot { print-color-adjust: exact; } figure svg { max-height: 170mm; } figcaption { font-size: 9.5pt; }
  h2, h3, .lead:not(.after), summary { break-after: avoid; }
  svg.wide { display: block !important; } svg.narrow { display: none !important; }
  pre { font-size: 7pt; columns: 3; line-height: 1.35; } .side { grid-template-columns: 1fr 1fr; }
  .scroll { overflow: visible; background: none; } table { font-size: 8.5pt; } .dense table { font-size: 7.5pt; }
  th, td { padding: 5pt 6pt; } .dense :is(th, td):is(*, :first-child, :last-child) { padding: 4pt; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""
