"""The table on the terminal."""

COLUMNS = (("name", "name", "{}"), ("req/s", "keyward", "{:,.0f}"), ("raw/s", "anchor", "{:,.0f}"),
           ("ratio", "ratio", "{:.2f}"), ("p50 us", "p50_us", "{:,.0f}"),
           ("p99 us", "p99_us", "{:,.0f}"), ("p999 us", "p999_us", "{:,.0f}"),
           ("CPU us/req", "cpu_us", "{:.1f}"), ("raw CPU us", "anchor_cpu_us", "{:.1f}"),
           ("lanes", "lane_fill", "{:.2f}"), ("errors", "errors", "{}"),
           ("idle KiB", "idle_rss_kib", "{:,}"), ("loaded KiB", "loaded_rss_kib", "{:,}"))


def show(rows):
    cells = [[title for title, _, _ in COLUMNS]]
    for row in rows:
        cells.append(["-" if row[key] is None else form.format(row[key]) for _, key, form in COLUMNS])
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    for line in cells:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(line, widths))))
    for kind in sorted({row["anchor_name"] for row in rows}):
        print(f"raw: {kind}")
