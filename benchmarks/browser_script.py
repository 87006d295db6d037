"""What the browser script costs a page, by Lighthouse: a page of 2,000 nodes without it and with three playbooks.

Both pages are measured in turns, five times each, with Lighthouse's own throttling of a phone, and their medians
compared. Fails if the script costs more than 2 points of the performance score, or more than 50 ms of blocked time or
of the first or largest paint. Needs Node and Chromium. Run: `python benchmarks/browser_script.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from typing import Any

from measurements import describe_machine, show, show_table

import settings

sys.path.append(str(settings.ROOT))
from tests.support.customer_site import Site, make_playbook, replace_text, serve_site

LIGHTHOUSE = settings.ROOT / "clients" / "browser" / "lighthouse"
ROUNDS = 5
MAX_POINTS, MAX_MS = 2.0, 50.0
#: Milliseconds that count, by the name of Lighthouse's audit.
AUDITS = {
    "first-contentful-paint": "first paint ms", "largest-contentful-paint": "largest paint ms",
    "total-blocking-time": "blocked ms",
}  # fmt: skip
#: 26 nodes before the rows, and 6 in each of 329 rows. The largest paint is of the lead, which no playbook changes: a
#: change that becomes the largest paint itself is painted when the playbooks have come.
ROW = '<li><article><h2>Row {n}</h2><p>Text of row <b>{n}</b></p><a href="/{n}">More</a></article></li>'
STYLE = "<style>body{margin:0;font:16px sans-serif}li{padding:8px}.hero{font-size:40px}.lead{font-size:24px}</style>"
LEAD = "Linen, wool and oak, made in Brianza and sent to your door. Free shipping from 90 euros, returns for 60 days. "


def build_body() -> str:
    """A page of 2,000 nodes with a headline and a button."""
    rows = "".join(ROW.format(n=number) for number in range(329))
    fillers = "<i></i>" * 18
    return (
        f'{STYLE}<main><h1 class="hero">Simple prices</h1><p class="lead">{LEAD * 2}</p><a class="buy">Buy</a>'
        f"{fillers}<ul>{rows}</ul></main>"
    )


def list_playbooks() -> list[dict[str, Any]]:
    """Three playbooks that execute at once."""
    banner = {"action": "insert_banner", "position": "top", "text": "Use LUMO20 until Sunday"}
    style = {"action": "set_style", "selector": ".buy", "style": {"background": "#2f5d50", "color": "#fff"}}
    return [
        make_playbook(replace_text(), name="Headline"),
        make_playbook(banner, name="Banner", trigger={"device": ["desktop", "mobile"]}),
        make_playbook(style, name="Button", trigger={"url": "/*"}),
    ]


def find_chromium() -> str:
    """The path of Chromium; TEST_CHROMIUM names one elsewhere."""
    path = os.environ.get("TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return path or sys.exit("no Chromium is installed: apt-get install chromium, or set TEST_CHROMIUM to one")


def install_lighthouse() -> None:
    """Install the pinned Lighthouse, unless it is there."""
    if shutil.which("npm") is None:
        sys.exit("no Node is installed: this benchmark runs Lighthouse with Node 18 or newer")
    if not (LIGHTHOUSE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=LIGHTHOUSE, check=True)


def measure(url: str, chromium: str) -> dict[str, float]:
    """The score in points and the times of one load."""
    flags = "--headless=new --no-sandbox --disable-dev-shm-usage"
    command = [
        "node_modules/.bin/lighthouse", url, "--only-categories=performance", "--output=json", "--quiet",
        "--throttling-method=devtools",
        f"--chrome-flags={flags}",
    ]  # fmt: skip
    environ = {**os.environ, "CHROME_PATH": chromium}
    done = subprocess.run(command, cwd=LIGHTHOUSE, env=environ, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    times = {label: report["audits"][name]["numericValue"] for name, label in AUDITS.items()}
    return {"points": report["categories"]["performance"]["score"] * 100, **times}


def run_rounds(site: Site, chromium: str) -> dict[str, list[dict[str, float]]]:
    """Measure both pages in turns."""
    results: dict[str, list[dict[str, float]]] = {"without": [], "with the script": []}
    for _ in range(ROUNDS):
        for name, measured in results.items():
            site.head = "" if name == "without" else None
            measured.append(measure(site.address + "/page", chromium))
    return results


def main() -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    install_lighthouse()
    with serve_site() as site:
        site.pages["/page"] = build_body()
        site.stand_in.playbooks = list_playbooks()
        results = run_rounds(site, find_chromium())
        tracked = site.stand_in.count_executions()
    names = ["points", *AUDITS.values()]
    medians = {page: [statistics.median(row[name] for row in rows) for name in names] for page, rows in results.items()}
    show(f"{describe_machine()}; medians of {ROUNDS}; {tracked} executions tracked")
    show_table(["page", *names], [[page, *(f"{value:.0f}" for value in row)] for page, row in medians.items()])
    before, after = medians.values()
    lost_points, *added_ms = (before[0] - after[0], *(b - a for a, b in zip(before[1:], after[1:], strict=True)))
    show(f"costs {lost_points:.1f} points (limit {MAX_POINTS:.0f}) and {max(added_ms):.0f} ms (limit {MAX_MS:.0f})")
    return int(lost_points > MAX_POINTS or max(added_ms) > MAX_MS or tracked < 3 * ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
