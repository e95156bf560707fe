# guest: commands that share a file as stdin go on where the one before stopped
# area: stdin
# source: POSIX.1-2017 XCU 1.4 INPUT FILES (seekable input)
# calls: read, lseek, wait4
# stdin: file "alpha\nbeta\ngamma\ndelta\n"
# broken-by: lseek:error=ESPIPE
head -n 1
sed -u 1q
read third && echo "read: $third"
rest=$(cat)
if [ "$third,$rest" != "gamma,delta" ]; then
    echo "expected gamma,delta got $third,$rest"
    exit 1
fi
echo ok
