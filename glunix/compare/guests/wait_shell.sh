# guest: a shell's view of statuses: exit codes, signals, not found, not executable, subshells
# area: waiting
# source: POSIX.1-2017 XCU 2.8.2 Exit Status for Commands
# broken-by: kill:retval=0
# calls: wait4, execve, kill
# needs: bash
exec 2>/dev/null
all=
note() {
    echo "$1: $2"
    all="$all $2"
}
(exit 7); note "exit 7" $?
(exit 300); note "exit 300" $?
sh -c 'kill -TERM $$'; note TERM $?
sh -c 'kill -KILL $$'; note KILL $?
sh -c 'kill -INT $$'; note INT $?
./missing; note missing $?
echo "exit 5" >script; ./script; note "not executable" $?
chmod +x script; ./script; note script $?
printf '\177ELFnot' >broken; chmod +x broken; ./broken; note "broken program" $?
cd /nowhere; note cd $?
! true; note "not true" $?
sleep 0 & wait $!; note background $?
wait 1; note "not a child" $?
if [ "$all" != " 7 44 143 137 130 127 126 5 126 1 1 0 127" ]; then
    echo "expected other statuses, got$all"
    exit 1
fi
echo ok
