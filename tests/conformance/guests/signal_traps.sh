# guest: shell traps run between commands, after a foreground child's end, and wait is interrupted
# area: signals
# source: POSIX.1-2017 XCU 2.11, trap, wait
# calls: kill, wait4, rt_sigaction, rt_sigsuspend|wait4
# needs: bash
trap 'echo usr1; seen="${seen}1"' USR1
trap 'echo usr2; seen="${seen}2"' USR2
kill -USR1 $$
echo "after the first"
(kill -USR2 $$; exit 4)
echo "child's status $?"
sleep 30 &
sleeper=$!
(kill -USR1 $$) &
sender=$!
wait $sleeper
status=$?
echo "wait was interrupted: $((status > 128))"
wait $sender
kill $sleeper
wait $sleeper
echo "sleeper's status $?"
trap '' INT
sh -c 'kill -INT $$; echo "ignored in a child"'
trap - INT
sh -c 'kill -INT $$; echo "not reached"'
echo "default in a child: $?"
if [ "$seen/$status" != "121/138" ]; then
    echo "expected 121/138, got $seen/$status"
    exit 1
fi
trap 'echo ok' EXIT
