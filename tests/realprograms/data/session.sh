#!/bin/bash
# A session's worth of shell: traps, subshells, job control off and on, arrays, redirections,
# here documents, process substitution, coprocesses and arithmetic. Every line it prints is the
# same each time; what fails is counted and makes the status 1.

exec 2>messages # bash tells there of killed children, with their pids

failures=0
number=0

check() { # check WHAT EXPECTED GOT
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "$number $1: $3"
    else
        echo "$number $1: expected $2, got $3"
        failures=$((failures + 1))
    fi
}

# -- subshells and variables ------------------------------------------------------------------

outer=1
(outer=2; check "in a subshell" 2 $outer)
check "after the subshell" 1 $outer
value=$(echo one; (echo two); { echo three; })
check "substitution" "one two three" "$(echo $value)"
check "nested" "a b c" "$(echo a $(echo b $(echo c)))"
depth() { if [ "$1" -gt 0 ]; then (depth $(($1 - 1))); else echo "$BASH_SUBSHELL"; fi; }
check "depth" 10 "$(depth 9)"
check "pid of a subshell" same "$( (([ $$ -eq $PPID ]) || [ $BASHPID -ne $$ ]) && echo same)"
false || check "status of false" 1 $?
(exit 42)
check "status of a subshell" 42 $?
! true
check "negated" 1 $?

# -- arrays, strings, arithmetic --------------------------------------------------------------

list=(zero one "two words" three)
check "array length" 4 ${#list[@]}
check "array element" "two words" "${list[2]}"
list+=(four)
check "appended" "zero one two words three four" "${list[*]}"
unset 'list[1]'
check "indices" "0 2 3 4" "${!list[*]}"
declare -A map=([red]=1 [green]=2 [blue]=3)
sum=0
for key in "${!map[@]}"; do sum=$((sum + map[$key])); done
check "sum of a map" 6 $sum
text="the quick brown fox"
check "substring" quick "${text:4:5}"
check "replaced" "the slow brown fox" "${text/quick/slow}"
check "upper" "THE QUICK BROWN FOX" "${text^^}"
check "suffix" "the quick brown" "${text% *}"
check "factorial" 3628800 $((10 * 9 * 8 * 7 * 6 * 5 * 4 * 3 * 2))
check "bits" 170 $((0xff & ~0x55))
check "pattern" yes "$([[ $text =~ q(.)ick ]] && [ "${BASH_REMATCH[1]}" = u ] && echo yes)"
check "case" animal "$(case fox in dog | fox) echo animal ;; *) echo other ;; esac)"
printf -v padded '%05d|%-6s|%x' 42 left 255
check "printf" "00042|left  |ff" "$padded"

# -- redirections, here documents -------------------------------------------------------------

cat >file <<END
first $((1 + 1))
second
END
check "here document" "first 2 second" "$(echo $(<file))"
cat >>file <<'END'
third $((1 + 1))
END
check "quoted here document" 'third $((1 + 1))' "$(tail -n 1 file)"
check "here string" olleh "$(rev <<<hello)"
exec 3<file
read -r line <&3
read -r -n 3 part <&3
read -r rest <&3
exec 3<&-
check "one descriptor" "first 2/sec/ond" "$line/$part/$rest"
{ echo out; echo err >&2; } >both 2>&1
check "both streams" "out err" "$(echo $(<both))"
{ echo kept; echo dropped >&2; } 2>/dev/null >only
check "one stream" kept "$(<only)"
exec 4>log 5>&1
echo logged >&4
exec 4>&-
check "exec redirection" logged "$(<log)"
check "noclobber" 1 "$(set -C; echo x 2>/dev/null >file; echo $?)"
check "read and write" "Xirst 2" "$(exec 6<>file; echo -n X >&6; exec 6>&-; head -n 1 file)"

# -- pipelines, process substitution, coprocesses ---------------------------------------------

check "pipeline" 500500 "$(seq 1 1000 | awk '{ s += $1 } END { print s }')"
true | false | true
check "statuses" "0 1 0" "${PIPESTATUS[*]}"
check "pipefail" 3 "$(set -o pipefail; (exit 3) | true; echo $?)"
check "process substitution" "2c2" "$(diff <(printf 'a\nb\n') <(printf 'a\nc\n') | head -n 1)"
check "output substitution" 3 "$(seq 3 | tee >(wc -l >counted) >/dev/null; while [ ! -s counted ]; do :; done; cat counted)"
coproc BC { while read -r a b; do echo $((a * b)); done; }
bc=$BC_PID # the variable goes when the coprocess does
echo "6 7" >&"${BC[1]}"
read -r product <&"${BC[0]}"
check "coprocess" 42 "$product"
exec {BC[1]}>&-
wait "$bc"
check "coprocess status" 0 $?
total=0
while read -r n; do total=$((total + n)); done < <(seq 1 50)
check "loop over a substitution" 1275 $total
last=$(yes | head -n 1000 | wc -l)
check "early end" 1000 "$last"
find_out=$(mkdir -p d/e/f && touch d/1 d/e/2 d/e/f/3 && find d -type f | sort | xargs -n 1 basename | tr '\n' ' ')
check "find and xargs" "1 2 3 " "$find_out"

# -- background jobs and wait -----------------------------------------------------------------

for n in 1 2 3 4 5; do
    (exit $n) &
    pids[n]=$!
done
statuses=
for n in 1 2 3 4 5; do
    wait "${pids[n]}"
    statuses="$statuses$?"
done
check "background statuses" 12345 $statuses
(for n in 1 2 3; do echo $n >>parts; done) &
wait
check "background output" "1 2 3" "$(echo $(<parts))"
sleep 100 &
kill -TERM $!
wait $! 2>/dev/null
check "killed child" 143 $?
(kill -KILL $BASHPID) 2>/dev/null
check "killed subshell" 137 $?
(exit 9) &
pids[1]=$!
(exit 9) &
pids[2]=$!
wait -n "${pids[1]}" "${pids[2]}"
check "wait for the next" 9 $?
wait
check "wait for all" 0 $?
mkfifo fifo
(echo through >fifo) &
read -r line <fifo
check "fifo" through "$line"
wait

set -m # job control: each job in a group of its own
sleep 100 &
check "a group of its own" yes "$([ "$(ps -o pgid= -p $! | tr -d ' ')" = $! ] && echo yes)"
kill -STOP $!
wait $! # with job control, also for a stop
check "stopped job" 147 $?
kill -CONT %%
kill %%
wait $!
check "killed job" 143 $?
set +m
check "no jobs left" 0 "$(jobs | wc -l)"

# -- traps ------------------------------------------------------------------------------------

caught=
trap 'caught=$caught:usr1' USR1
trap 'caught=$caught:usr2' USR2
kill -USR1 $$
kill -USR2 $$
kill -USR1 $$
check "traps in order" ":usr1:usr2:usr1" "$caught"
caught=
(trap 'echo inner' USR1; kill -USR1 $BASHPID) >trapped
check "trap of a subshell" inner "$(<trapped)"
check "not the outer one" "" "$caught"
check "reset in a subshell" 138 "$( (sh -c 'kill -USR1 $$') 2>/dev/null; echo $?)"
trap '' TERM
kill -TERM $$
check "ignored" 0 $?
sh -c 'kill -TERM $$; exit 6'
check "ignored in a child too" 6 $?
trap - TERM
check "exit trap" "body bye" "$(echo $(trap 'echo bye' EXIT; echo body))"
check "exit trap keeps the status" 5 "$( (trap 'true' EXIT; exit 5); echo $?)"
check "error trap" "failed" "$(trap 'echo failed' ERR; false; true)"
check "debug trap" "2" "$(n=0; trap 'n=$((n + 1))' DEBUG; true; trap - DEBUG; echo $n)"
check "return trap" "done" "$(f() { trap 'echo done' RETURN; }; f)"
check "errexit" "before" "$(set -e; echo before; false; echo after)"
check "nounset" 1 "$( (set -u; : $unset_variable) 2>/dev/null; echo $?)"

# -- functions, eval, getopts, limits ---------------------------------------------------------

fib() { if [ "$1" -lt 2 ]; then echo "$1"; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
check "recursion in subshells" 34 "$(fib 9)"
make_counter() { eval "$1() { $1_n=\$(($1_n + 1)); }"; }
make_counter hits
hits; hits; hits
check "eval" 3 "$hits_n"
parse() { local OPTIND found=; while getopts "ab:c" o; do found="$found$o${OPTARG-}"; done; echo "$found"; }
check "getopts" "abXc" "$(parse -a -b X -c)"
check "limit" 64 "$(ulimit -n 64; ulimit -n)"
check "umask" "-rw-r-----" "$(umask 027; touch masked; stat -c %A masked)"
check "cd in a subshell" "f" "$(cd d/e/f && basename "$PWD")"
check "command not found" 127 "$(no_such_command_here 2>/dev/null; echo $?)"
check "exec replaces" "replaced" "$(exec echo replaced; echo not)"
check "time limit" 124 "$(timeout 0.05 sleep 10; echo $?)"
check "sorted numbers" "1 2 10" "$(printf '10\n2\n1\n' | sort -n | paste -sd ' ')"

echo "$number checks, $failures failures"
[ "$failures" -eq 0 ]
