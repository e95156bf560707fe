# guest: stty, tty, test -t and read from a shell on the terminal
# area: tty
# source: stty(1), tty(1), POSIX.1-2017 XCU read
# calls: ioctl, read, openat, wait4
# needs: tty
# on: name -> type "Ada\n"
# on: hidden -> type "secret\n"
# on: both -> type "one\n"
# on: second -> type "two\n"
# broken-by: ioctl:error=ENOTTY
size=$(stty size)
echo "size $size"
tty -s && echo "a terminal"
[ -t 0 ] && [ -t 1 ] && echo "stdin and stdout"
[ -t 1 ] | cat
echo "ready name"
read name
stty -echo
echo "ready hidden"
read hidden </dev/tty
stty echo
echo "ready both"
(read one; echo "ready second"; read two; echo "$one $two")
stty -a | grep -o ' -\{0,1\}\(icanon\|echo\|isig\|opost\) ' | tr -d '\n'
echo
got="$size/$name/$hidden"
if [ "$got" != "24 80/Ada/secret" ]; then
    echo "expected 24 80/Ada/secret, got $got"
    exit 1
fi
echo ok
