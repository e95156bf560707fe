#!/bin/sh
# mmdebstrap --customize-hook: the machine's configuration.
# late.sh ROOT FOLDER KEY.PUB WHEELS: FOLDER holds this file, WHEELS what pip may install.
set -eu
root=$1 box=$2 key=$3 wheels=$4
in_root() { chroot "$root" "$@"; }

# -- users: the one Vagrant wants, and two who do not trust each other ---------------------------
for user in vagrant:1000 ann:1001 bob:1002; do
    name=${user%:*} uid=${user#*:}
    in_root useradd --create-home --shell /bin/bash --uid "$uid" "$name"
    install -d -m 700 -o "$uid" -g "$uid" "$root/home/$name/.ssh"
    install -m 600 -o "$uid" -g "$uid" "$key" "$root/home/$name/.ssh/authorized_keys"
done
install -d -m 700 "$root/root/.ssh"
install -m 600 "$key" "$root/root/.ssh/authorized_keys"
if [ -d "$root/etc/sudoers.d" ]; then
    echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
    chmod 440 "$root/etc/sudoers.d/vagrant"
fi

# -- names and network: what the kernel's command line does not say, Vagrant does ----------------
echo box >"$root/etc/hostname"
install -m 644 "$box/hosts" "$root/etc/hosts"
: >"$root/etc/resolv.conf"
echo '/dev/vda1 / ext4 defaults,noatime 0 1' >"$root/etc/fstab"
install -D -m 644 "$box/eth0.network" "$root/etc/systemd/network/10-eth0.network"

# -- ssh: one host key for all machines of the lab; nothing that asks the network ----------------
in_root ssh-keygen -A >/dev/null
install -m 644 "$box/sshd.conf" "$root/etc/ssh/sshd_config.d/lab.conf"

# -- NFS 4 only: no rpcbind, no statd ------------------------------------------------------------
install -D -m 644 "$box/nfs.conf" "$root/etc/nfs.conf.d/lab.conf"
echo '/home 10.77.0.0/24(rw,async,no_subtree_check,fsid=1)' >"$root/etc/exports"

# -- pip installs from what is on the disk: the lab has no other network ---------------------------
install -d "$root/srv/wheels"
install -m 644 "$wheels"/*.whl "$root/srv/wheels/"
printf '[global]\nno-index = true\nfind-links = /srv/wheels\n' >"$root/etc/pip.conf"

# -- less to do at boot: all of it is emulated where there is no KVM ------------------------------
install -m 755 "$box/lab-init" "$root/sbin/lab-init"
in_root systemctl enable --quiet systemd-networkd.service
in_root systemctl disable --quiet nfs-server.service # provision.sh starts it where it is wanted
in_root systemctl set-default --quiet multi-user.target
# shellcheck disable=SC2046
in_root systemctl mask --quiet $(sed 's/#.*//' "$box/masked-units")
install -D -m 644 "$box/journald.conf" "$root/etc/systemd/journald.conf.d/lab.conf"
install -D -m 644 "$box/system.conf" "$root/etc/systemd/system.conf.d/lab.conf"

# -- nothing of the machine that built it -----------------------------------------------------------
rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* \
    "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/var/lib/apt/lists/* \
    "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt
