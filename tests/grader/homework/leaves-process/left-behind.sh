#!/bin/sh
cp "$(command -v sleep)" left-behind
for _ in 1 2 3; do setsid ./left-behind 1000 >/dev/null 2>&1 & done
exit 0
