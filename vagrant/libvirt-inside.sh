#!/bin/sh
# libvirt-inside.sh STATE HERE: becomes the lab's libvirtd, with all that libvirt calls its own
# below STATE instead of /etc, /var and /run. Called in a mount namespace of its own (`ip netns exec`
# makes one): a libvirt that the machine may have outside is neither seen nor touched.
set -eu
state=$1 here=$2
for place in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run/libvirt; do
    mkdir -p "$place" "$state$place"
    mount --bind "$state$place" "$place"
done
cp "$here/libvirt-qemu.conf" /etc/libvirt/qemu.conf

# libvirtd looks up the users it was compiled for before it reads that it shall not use them.
cp /etc/passwd "$state/passwd"
cp /etc/group "$state/group"
getent group kvm >/dev/null || echo 'kvm:x:64055:' >>"$state/group"
getent group libvirt-qemu >/dev/null || echo 'libvirt-qemu:x:64054:' >>"$state/group"
getent passwd libvirt-qemu >/dev/null ||
    echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>"$state/passwd"
mount --bind "$state/passwd" /etc/passwd
mount --bind "$state/group" /etc/group
if [ ! -s /etc/machine-id ]; then
    tr -d - </proc/sys/kernel/random/uuid >"$state/machine-id"
    touch /etc/machine-id
    mount --bind "$state/machine-id" /etc/machine-id
fi
ip link set lo up
exec libvirtd --config "$here/libvirtd.conf"
