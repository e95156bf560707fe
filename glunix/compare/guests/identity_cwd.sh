# guest: the working directory is the user's: pwd, relative names, and what is written there stays
# area: identity
# source: getcwd(3), POSIX.1-2017 XCU pwd, cd
# calls: getcwd, chdir, openat
# broken-by: chdir:retval=0
[ "$(pwd)" = "$PWD" ] && echo "pwd is PWD"
[ "$(/bin/pwd -P)" = "$(cd . && pwd -P)" ] && echo "physically too"
[ "$HOME" -ef . ] && echo "it is the home folder"
echo text >file
mkdir -p deep/er
cd deep/er
cat ../../file
cd - >/dev/null
ln -s deep/er link
cd link
[ "${PWD##*/}" = link ] && echo "logical"
where=$(/bin/pwd -P)
if [ "${where##*/}" != er ]; then
    echo "expected er, got ${where##*/}"
    exit 1
fi
echo ok
