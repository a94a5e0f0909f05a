# How many have how many points, as SVG on stdout. class-report puts $counts before it: the points from which a bar counts, and how
# many have them. Black becomes the page's ink, and what has no colour its paper.
set terminal svg size 640,340 font "sans-serif,20"
set encoding utf8
set border 1
set tics nomirror
set xtics scale 0
unset ytics
unset key
set xrange [-0.6:10.6]
set yrange [0:*]
set offsets 0, 0, graph 0.15, 0
set xlabel "points: 0 to 9, 10 to 19, ..., 100"
set boxwidth 0.85
set style fill solid 1 noborder
plot $counts using 0:2:xtic(1) with boxes lc rgb "#4d86bd", \
    $counts using 0:2:($2 > 0 ? sprintf("%d", $2) : "") with labels offset 0, 0.7
