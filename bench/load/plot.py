"""The rows as an SVG, by gnuplot."""
import subprocess
import sys

SCRIPT = """set terminal svg size 1100,620 font 'sans,12' background '#ffffff'
set output '{out}'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set logscale y
set ylabel 'operations a second'
set xtics rotate by -35 scale 0
set key top right
set grid y
$rows << EOD
{rows}
EOD
plot $rows using 2:xtic(1) title 'keyward, end to end' linecolor rgb '#1f6feb', \\
     $rows using 3 title 'the same operation alone' linecolor rgb '#b0b7c3'
"""


def svg(rows, out):
    text = "\n".join(f'"{r["name"]}" {r["keyward"]} {r["anchor"]}' for r in rows)
    try:
        subprocess.run(["gnuplot"], input=SCRIPT.format(out=out, rows=text), text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"bench/run: no plot ({error}); run: apt-get install gnuplot-nox", file=sys.stderr)
