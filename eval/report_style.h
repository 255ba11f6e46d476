// The look of a report: one column, much air, hairlines, numbers that line up; light and dark as the reader's
// system is.
#pragma once

namespace plumage {

inline constexpr char kReportStyle[] = R"css(
:root { color-scheme: light dark; --paper: #fbfaf7; --raised: #ffffff; --ink: #22211e; --muted: #6f6b63; --rule: #e2ded4;
  --accent: #1b7f79; --right: #2e8b57; --wrong: #c83e32; --watch: #a85b00; --watch-paper: #fdf3e3;
  --c0: #1b7f79; --c1: #d9772b; --c2: #7a5ea8; --c3: #3a78b5; --c4: #c0476b; --c5: #7d8b2e; --c6: #8a6d4b; --c7: #5b6770; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --raised: #1d2024; --ink: #e6e3dc; --muted: #9b978d; --rule: #2f3338;
    --accent: #5cc4bc; --right: #57b884; --wrong: #ec7468; --watch: #e9a857; --watch-paper: #2a2418;
    --c0: #5cc4bc; --c1: #f0a061; --c2: #b39ddb; --c3: #7fb2e5; --c4: #ec87a5; --c5: #b9c46a; --c6: #c7a883; --c7: #a3afb8; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 400 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 4rem 1.5rem 6rem; }
h1, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif; font-weight: 600;
  line-height: 1.2; letter-spacing: -0.01em; text-wrap: balance; }
h1 { font-size: clamp(1.9rem, 5vw, 2.75rem); margin: 0 0 1.5rem; }
h2 { font-size: 1.4rem; margin: 0 0 0.5rem; }
p { margin: 0 0 0.75rem; max-width: 42rem; text-wrap: pretty; }
header { margin-bottom: 3.5rem; }
header p { font-size: 1.1rem; }
.kicker { font-size: 0.8rem; letter-spacing: 0.16em; text-transform: uppercase; color: var(--accent); margin-bottom: 1rem; }
section { margin: 0 0 4rem; }
.caption { color: var(--muted); margin-bottom: 1.25rem; }
.wide { overflow-x: auto; margin: 0 -1.5rem; padding: 0 1.5rem; }

table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums lining-nums; font-size: 0.95rem; }
th, td { padding: 0.6rem 0 0.6rem 1.5rem; text-align: right; white-space: nowrap; vertical-align: baseline; }
thead th { font-weight: 500; color: var(--muted); font-size: 0.82rem; vertical-align: bottom; line-height: 1.3;
  border-bottom: 1.5px solid var(--ink); }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
th:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--paper); }
tbody th { font-weight: 500; white-space: normal; min-width: 9rem; padding-right: 0.5rem; line-height: 1.35; }
small { display: block; font-size: 0.8rem; font-weight: 400; color: var(--muted); line-height: 1.35; }
td small { display: inline; margin-left: 0.25em; }
td b { font-weight: 700; color: var(--accent); }
.none { color: var(--muted); }

.charts { display: grid; gap: 2.5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; min-width: 0; }
.charts figcaption strong { font-weight: 600; display: block; }
.charts figcaption { font-size: 0.9rem; color: var(--muted); margin-bottom: 0.5rem; }
.charts figcaption strong { color: var(--ink); font-size: 1rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.15rem 1.1rem; margin: 0.35rem 0 0; padding: 0; list-style: none; font-size: 0.85rem; }
.legend li::before { content: ""; display: inline-block; width: 1.1em; height: 3px; border-radius: 2px; margin-right: 0.45em;
  vertical-align: 0.22em; background: var(--line); }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 11px system-ui, sans-serif; fill: var(--muted); font-variant-numeric: tabular-nums; }
svg path { fill: none; }
.grid { stroke: var(--rule); }
.axis { stroke: var(--muted); }
.curve { stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
.faint { opacity: 0.28; stroke-width: 1; }
.c0 { stroke: var(--c0); --line: var(--c0); } .c1 { stroke: var(--c1); --line: var(--c1); }
.c2 { stroke: var(--c2); --line: var(--c2); } .c3 { stroke: var(--c3); --line: var(--c3); }
.c4 { stroke: var(--c4); --line: var(--c4); } .c5 { stroke: var(--c5); --line: var(--c5); }
.c6 { stroke: var(--c6); --line: var(--c6); } .c7 { stroke: var(--c7); --line: var(--c7); }

.pictures { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 8.5rem)); gap: 0.9rem 0.9rem; }
.pictures .heading { font-size: 0.82rem; color: var(--muted); line-height: 1.25; align-self: end; }
.pictures img { display: block; width: 100%; height: auto; border-radius: 3px; background: var(--rule); }
.small img { image-rendering: pixelated; }
.pictures figcaption { font-size: 0.78rem; line-height: 1.3; color: var(--muted); margin-top: 0.35rem; overflow-wrap: anywhere; }
.right img { outline: 3px solid var(--right); } .wrong img { outline: 3px solid var(--wrong); }
.right figcaption::before { content: "\2713\a0"; color: var(--right); font-weight: 700; }
.wrong figcaption::before { content: "\2717\a0"; color: var(--wrong); font-weight: 700; }

.gauges { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); margin: 1.25rem 0 0; }
.gauge { margin: 0; background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 1.1rem 1.25rem; }
.gauge dt { font-size: 0.85rem; color: var(--muted); }
.gauge dd { margin: 0; font-size: 0.9rem; line-height: 1.45; }
.gauge dd:first-of-type { font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums; margin-bottom: 0.35rem; }
.gauge dd:first-of-type small { display: inline; font-size: 0.9rem; margin-left: 0.2em; }
.attention { background: var(--watch-paper); border-color: var(--watch); }
.attention dt::after { content: " \2014  look here"; color: var(--watch); }

.facts { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: 0.4rem 1.5rem; margin: 1.25rem 0; font-size: 0.95rem; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 1rem 1.25rem; overflow-x: auto;
  font: 0.82rem/1.6 ui-monospace, "SF Mono", Menlo, Consolas, monospace; margin: 1rem 0; }
details summary { cursor: pointer; color: var(--accent); }
ul.notes { padding-left: 1.1rem; max-width: 42rem; }
ul.notes li { margin-bottom: 0.5rem; }
@media (max-width: 36rem) {
  main { padding: 2.5rem 1.1rem 4rem; }
  .wide { margin: 0 -1.1rem; padding: 0 1.1rem; }
  .pictures { gap: 0.5rem; }
  .pictures figcaption { font-size: 0.68rem; }
  th, td { padding-left: 1.1rem; }
  tbody th { min-width: 7rem; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 0.6rem; }
}
@media print { body { background: #fff; } section { break-inside: avoid-page; } details { display: none; } }
)css";

}  // namespace plumage
