#!/bin/sh
# Makes a public Debian box what recipe.py makes of packages: run by Vagrant as root, once.
set -eu
box=/tmp/lab-box
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2046
apt-get install -qq -y --no-install-recommends \
    $(sed -e 's/#.*//' -e 's/^box://' -e '/^linux-image-/d' "$box/packages") >/dev/null
for user in ann:1101 bob:1102; do
    name=${user%:*}
    id "$name" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --uid "${user#*:}" "$name"
done
install -m 644 "$box/hosts" /etc/hosts
install -m 644 "$box/sshd.conf" /etc/ssh/sshd_config.d/lab.conf
install -D -m 644 "$box/nfs.conf" /etc/nfs.conf.d/lab.conf
echo '/home 10.77.0.0/24(rw,async,no_subtree_check,fsid=1)' >/etc/exports
systemctl reload ssh.service
