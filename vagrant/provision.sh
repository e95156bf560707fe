#!/bin/sh
# Run by Vagrant as root on each machine, ours or a public box: provision.sh NAME ADDRESS.
# Home serves /home, the nodes mount it when it is first used; both again after every boot.
set -eu
name=$1 address=$2
echo "$name" >/etc/hostname
hostname "$name"
# Vagrant adds "127.0.1.1 NAME", and then a machine would know itself by another address than others.
sed -i '/^127\.0\.[12]\.1[[:space:]]/d' /etc/hosts
if ! ip -o address show | grep -q "inet $address/"; then # Vagrant did not do it: see Vagrantfile
    ip address add "$address/24" dev eth1
    ip link set eth1 up
    printf '[Match]\nName=eth1\n[Network]\nAddress=%s/24\nLinkLocalAddressing=no\n' "$address" \
        >/etc/systemd/network/20-eth1.network # for boots to come
fi
if [ "$name" = home ]; then
    systemctl enable --quiet --now nfs-server.service
    exportfs -ra
else
    grep -q "^home:/home" /etc/fstab ||
        echo 'home:/home /home nfs4 soft,timeo=100,retrans=3,_netdev,x-systemd.automount 0 0' >>/etc/fstab
    systemctl daemon-reload
    systemctl start home.automount
fi
