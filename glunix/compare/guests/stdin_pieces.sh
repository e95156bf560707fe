# guest: commands one after the other take from stdin just what they ask for
# area: stdin
# source: POSIX.1-2017 XCU 1.4 INPUT FILES (read), dd(1)
# calls: read, wait4, pipe2|pipe
# stdin: pipe "first line\nsecond line\n0123456789rest of it\nlast\n"
# broken-by: read:error=EIO:when=3+
read one && echo "one: $one"
read two && echo "two: $two"
part=$(dd bs=1 count=10 2>/dev/null) && echo "dd: $part"
(read inner && echo "in a subshell: $inner")
rest=$(cat) && echo "cat: $rest"
if read none; then echo "expected end of file, got $none"; exit 1; fi
if [ "$one,$two,$part,$rest" != "first line,second line,0123456789,last" ]; then
    echo "expected the pieces in order, got $one,$two,$part,$rest"
    exit 1
fi
echo ok
