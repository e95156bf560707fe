# guest: a shell pipeline's data, statuses and early ends
# area: pipes
# source: POSIX.1-2017 XCU 2.9.2 Pipelines, pipe(7)
# calls: pipe2|pipe, dup2, execve, wait4, clone|clone3|vfork|fork
# needs: bash
numbers=$(seq 1 20000 | grep 7 | sort -r | tail -n 3 | tr '\n' ' ')
echo "$numbers"
yes | head -n 2
early="${PIPESTATUS[*]}"
echo "early end: $early"
false | true | (exit 7)
statuses="${PIPESTATUS[*]}"
echo "statuses $statuses"
set -o pipefail
(exit 3) | (exit 0)
status=$?
echo "pipefail $status"
count=$(seq 1 100 | while read -r n; do echo "$n"; done | wc -l)
{ echo out; echo err >&2; } 2>&1 >both | cat
echo "$(cat both) $count"
got="$numbers/$early/$statuses/$status/$count"
if [ "$got" != "10027 10017 10007 /141 0/1 0 7/3/100" ]; then
    echo "expected other results, got $got"
    exit 1
fi
echo ok
