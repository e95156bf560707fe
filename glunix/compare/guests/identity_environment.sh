# guest: the environment arrives as it was given, and is passed on
# area: identity
# source: environ(7)
# calls: execve, wait4
echo "$TERM $LANG"
echo "$GUEST_WORDS"
echo "empty: ${GUEST_EMPTY-unset}"
echo "absent: ${GUEST_ABSENT-unset}"
PASSED="on  with  blanks" sh -c 'echo "$PASSED"'
env -i ONLY=this env
here=$(sh -c 'echo "$GUEST_WORDS"')
if [ "$here" != "two words = 'quoted'" ]; then
    echo "expected the words, got $here"
    exit 1
fi
[ "$HOME" = "$PWD" ] && [ "$PATH" = /usr/local/bin:/usr/bin:/bin ] && echo ok
