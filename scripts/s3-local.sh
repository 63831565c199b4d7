#!/usr/bin/env bash
# Starts a throw-away S3 service on this machine for the store's tests: a one-daemon-each Ceph cluster (monitor, memory
# OSD, RADOS Gateway) from the distribution's packages. It keeps versions and Object Lock; it ignores If-None-Match and
# SHA-256 checksums on PUT, which makes it a good stand-in for the less careful services in the field.
#
#   scripts/s3-local.sh install            as root on Debian or Ubuntu, once
#   scripts/s3-local.sh check              whether everything that it needs is installed
#   scripts/s3-local.sh start DIR [PORT]   DIR must be new or empty; PORT is 18000 unless told, with PORT+1 to PORT+49
#   scripts/s3-local.sh stop DIR           ends the three daemons and removes DIR
#
# `start` prints shell lines to evaluate:  eval "$(scripts/s3-local.sh start /tmp/s3)" && npm test
set -euo pipefail

readonly USER_NAME=muniment SECRET=muniment-secret REGION=us-east-1
readonly PID_FILES=(gateway.pid osd.pid monitor.pid) # in the order of stopping

fail() { echo "s3-local: $1" >&2; exit "${2:-1}"; }

usage() { sed -n '6,9s/^# *//p' "$0" >&2; exit 2; }

need() {
  local tool
  for tool in ceph ceph-authtool ceph-mon ceph-osd monmaptool radosgw radosgw-admin curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: run '$0 install' as root"
  done
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install --yes --no-install-recommends ceph-mon ceph-osd ceph-common radosgw curl >/dev/null
}

write_configuration() { # DIR PORT
  local home=$1 port=$2
  cat >"$home/ceph.conf" <<CONF
[global]
fsid = $(</proc/sys/kernel/random/uuid)
keyring = $home/keyring
run_dir = $home
log_file = $home/\$name.log
admin_socket = $home/\$name.asok
mon_host = [v2:127.0.0.1:$((port + 1))]
mon_initial_members = one
public_network = 127.0.0.0/8
ms_bind_port_min = $((port + 2))
ms_bind_port_max = $((port + 49))
# one copy of everything, on one daemon, in memory
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = $((4 << 30))
# a full disk of the machine is not our concern
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[mon]
mon_data = $home/monitor
pid_file = $home/monitor.pid
[osd]
osd_data = $home/osd
pid_file = $home/osd.pid
[client.rgw.one]
rgw_data = $home/gateway
rgw_frontends = beast endpoint=127.0.0.1:$port
pid_file = $home/gateway.pid
# a key service of one key, for server-side encryption
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = records-key=$(head -c 32 /dev/urandom | base64)
CONF
}

write_keys() { # DIR
  local keyring=$1/keyring
  ceph-authtool -C "$keyring" -g -n mon. --cap mon 'allow *'
  ceph-authtool "$keyring" -g -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$keyring" -g -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  ceph-authtool "$keyring" -g -n client.rgw.one --cap mon 'allow rw' --cap osd 'allow rwx'
}

start_daemons() { # DIR PORT
  local home=$1 port=$2 conf=(-c "$1/ceph.conf") fsid osd_id
  fsid=$(sed -n 's/^fsid = //p' "$home/ceph.conf")
  osd_id=$(</proc/sys/kernel/random/uuid)
  monmaptool --create --fsid "$fsid" --addv one "[v2:127.0.0.1:$((port + 1))]" "$home/monmap"
  ceph-mon "${conf[@]}" -i one --mkfs --monmap "$home/monmap" --keyring "$home/keyring"
  ceph-mon "${conf[@]}" -i one
  ceph "${conf[@]}" auth import -i "$home/keyring"
  ceph "${conf[@]}" osd new "$osd_id" 0
  ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd_id"
  ceph-osd "${conf[@]}" -i 0
  ceph "${conf[@]}" osd crush add osd.0 1 root=default host=localhost
  radosgw "${conf[@]}" -n client.rgw.one
}

await_gateway() { # PORT
  local _
  for _ in {1..240}; do
    curl --silent --output /dev/null "http://127.0.0.1:$1" && return
    sleep 0.25
  done
  return 1
}

start() { # DIR PORT
  need
  mkdir -p "$1"
  local home port=$2
  home=$(cd "$1" && pwd)
  [[ -z $(ls -A "$home") ]] || fail "$home is not empty" 2
  mkdir "$home"/{monitor,osd,gateway}
  if ! {
    write_configuration "$home" "$port" && write_keys "$home" && start_daemons "$home" "$port" && await_gateway "$port" &&
      radosgw-admin -c "$home/ceph.conf" -n client.admin user create \
        --uid="$USER_NAME" --display-name="$USER_NAME" --access-key="$USER_NAME" --secret-key="$SECRET"
  } >"$home/start.log" 2>&1; then
    grep -hs -e ' -1 ' "$home"/*.log | tail -n 20 >&2 || true
    fail "did not start; the whole log is $home/start.log, '$0 stop $home' cleans up"
  fi
  printf 'export %s=%s\n' S3_TEST_ENDPOINT "http://127.0.0.1:$port" S3_TEST_REGION "$REGION" S3_TEST_KMS_KEY records-key \
    AWS_ACCESS_KEY_ID "$USER_NAME" AWS_SECRET_ACCESS_KEY "$SECRET"
}

stop() { # DIR
  local home name pid _
  home=$(cd "$1" && pwd)
  [[ -f $home/ceph.conf ]] || fail "$home was not made by this script" 2
  for name in "${PID_FILES[@]}"; do
    [[ -s $home/$name ]] || continue
    pid=$(<"$home/$name")
    kill "$pid" 2>/dev/null || continue
    for _ in {1..60}; do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.25
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  rm -rf "$home"
}

case ${1-} in
  install) install_packages ;;
  check) need ;;
  start) [[ -n ${2-} ]] || usage; start "$2" "${3-18000}" ;;
  stop) [[ -n ${2-} ]] || usage; stop "$2" ;;
  *) usage ;;
esac
