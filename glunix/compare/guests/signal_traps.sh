# guest: shell traps run between commands, after a foreground child's end, and interrupt wait
# area: signals
# source: POSIX.1-2017 XCU 2.11, trap, wait
# calls: kill, wait4, rt_sigaction
# needs: bash
exec 2>/dev/null # bash reports killed children there, with their pids
trap 'echo usr1; seen="${seen}1"' USR1
trap 'echo usr2; seen="${seen}2"' USR2
kill -USR1 $$
echo "after the first"
(kill -USR2 $$; exit 4)
echo "child's status $?"
# Signals until wait has been interrupted: one alone could come before wait begins.
trap 'interrupted=1' USR1
sleep 30 &
sleeper=$!
(while [ ! -e done ]; do kill -USR1 $$; sleep 0.01; done) &
sender=$!
wait $sleeper
status=$?
echo "wait was interrupted: $((status > 128))"
>done
while wait $sender; [ $? -gt 128 ]; do :; done
kill -KILL $sleeper
wait $sleeper
echo "sleeper's status $?"
trap '' INT
sh -c 'kill -INT $$; echo "ignored in a child"'
trap - INT
sh -c 'kill -INT $$; echo "not reached"'
echo "default in a child: $?"
if [ "$seen/$interrupted/$status" != "12/1/138" ]; then
    echo "expected 12/1/138, got $seen/$interrupted/$status"
    exit 1
fi
trap 'echo ok' EXIT
