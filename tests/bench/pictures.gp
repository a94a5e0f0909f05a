# Draws one picture: gnuplot -c pictures.gp EXPERIMENT SUMMARY PICTURE SERVERS, as tests/bench/page calls it.
# SUMMARY has a block for each measure and server: load, median, lower and upper quartile, runs, place.
experiment = ARG1
data = ARG2
servers = ARG4
tall = strstrt("bcfg", experiment) > 0
set terminal svg size 640,(tall ? 940 : 480) font "sans-serif,18" background "white" linewidth 1.5
set output ARG3
set encoding utf8
set border 3
set tics nomirror
set grid ytics lc rgb "#cccccc" dt 1 lw 0.5
set key outside top center horizontal Left reverse samplen 3
set bars 0.7
set format y "%.7g"
set offsets graph 0.03, graph 0.03, 0, 0

# Colours of different darkness, and for each server its own dashes and its own mark.
array colour[6] = ["#000000", "#c05000", "#0072b2", "#b03080", "#209060", "#806000"]
array dashes[6] = [1, 2, 3, 4, 5, 1]
array mark[6] = [7, 4, 9, 2, 12, 6]
style(name) = name[1:5] eq "stage" ? 10 - int(name[6:6]) : \
    name eq "nginx" ? 2 : name eq "lighttpd" ? 3 : name eq "python3" || name eq "9-cache" ? 4 : name eq "9-workers" ? 6 : 5
title(name) = name[1:5] eq "stage" ? "stage ".name[6:6] : name eq "python3" ? "Python" : name
do for [i=1:6] { set linetype i lc rgb colour[i] dt dashes[i] pt mark[i] ps 1 lw 1.5 }
number(x) = x >= 1000 ? sprintf("%.0f", x) : sprintf("%.3g", x)

if (experiment eq "a" || experiment eq "e") {
    set style fill pattern 4 border lc rgb "black"
    set xrange [4.4:9.6]
    set xtics ("stage 5" 5, "stage 6" 6, "stage 7" 7, "stage 8" 8, "stage 9" 9)
    unset key
    if (experiment eq "a") {
        measure = "wait_ms"
        set logscale y
        set yrange [0.1:50000]
        set ylabel "time until the answer (ms)"
    } else {
        measure = "cpu_percent"
        set yrange [0:120]
        set ylabel "CPU of the idle server (% of a core)"
    }
    plot for [i=1:words(servers)] name = word(servers, i) data index measure." ".name \
            using (int(name[6:6])):2:3:4:(0.6) with boxerrorbars lc rgb "black" dt 1 fs pattern 4, \
        for [i=1:words(servers)] name = word(servers, i) data index measure." ".name \
            using (int(name[6:6])):4:(number($2)) with labels offset 0,0.9
}
if (experiment eq "d") {
    set logscale x
    set xtics ("0" 10, "100" 100, "1,000" 1000, "10,000" 10000)
    set xrange [8:14000]
    set yrange [0:*]
    set xlabel "idle connections that the server holds"
    set ylabel "requests a second"
    plot for [i=1:words(servers)] name = word(servers, i) data index "requests_per_second ".name \
        using ($6 < 10 ? 10 : $6):2:3:4 with yerrorlines lt style(name) title title(name)
}
if (tall) {
    set logscale xy
    set multiplot layout 2,1
    if (experiment eq "b") {
        set xlabel "clients, each with a connection"
        set xrange [0.8:1300]
        first = "memory_KiB"; first_label = "memory (KiB)"
        second = "cpu_ms"; second_label = "CPU to accept and hold (ms)"
        set xtics ("1" 1, "10" 10, "100" 100, "1,000" 1000)
    }
    if (experiment eq "c") {
        set xlabel "clients"
        set xrange [0.8:1300]
        first = "requests_per_second"; first_label = "requests a second"
        second = "p99_ms"; second_label = "99th percentile (ms)"
        set xtics ("1" 1, "16" 16, "64" 64, "256" 256, "1,000" 1000)
    }
    if (experiment eq "f" || experiment eq "g") {
        set xlabel "size of the file"
        set xrange [800:1400000]
        first = "cpu_us_per_request"; first_label = "CPU (µs a request)"
        second = "requests_per_second"; second_label = "requests a second"
        set xtics ("1 KB" 1024, "10 KB" 10240, "100 KB" 102400, "1 MB" 1048576)
    }
    do for [panel=1:2] {
        measure = panel == 1 ? first : second
        if (panel == 2) { unset key }
        set ylabel (panel == 1 ? first_label : second_label)
        plot for [i=1:words(servers)] name = word(servers, i) data index measure." ".name \
            using 1:2:3:4 with yerrorlines lt style(name) title title(name)
    }
    unset multiplot
}
