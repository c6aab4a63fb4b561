#!/bin/bash
# Runs in a machine that has booted with the package installed, and prints what it sees, for
# test/package_linux_test.go.
exec >/root/result 2>&1
export LC_ALL=C
token="Authorization: Bearer a-token-of-the-test"

# soon COMMAND... waits until a command succeeds.
soon() {
  for _ in $(seq 300); do
    if "$@"; then return 0; fi
    sleep 0.1
  done
  echo "not within 30 s: $*"
  return 1
}
main_pid() { systemctl show -p MainPID --value vw@cam1; }
# up succeeds if the service is active, and its first and last tool answer.
up() {
  [ "$(systemctl is-active vw@cam1)" = active ] && curl -s -o /dev/null http://127.0.0.1:8081/healthz &&
    curl -s -o /dev/null http://127.0.0.1:8082/
}
# another PID succeeds if the service is up with another main process.
another() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ] && up; }
# publisher succeeds if there is one.
publisher() { curl -sf -o /dev/null -H "$token" http://127.0.0.1:8081/healthz; }
publish() {
  curl -sS -o /dev/null -w "$1: %{http_code}\n" -H "$2" -T /root/stream.ts http://127.0.0.1:8081/
}
# serve REPORT runs a server to push to.
serve() {
  vw-testserver --listen 127.0.0.1:9000 --report "$1" >/dev/null &
  server=$!
}
served() {
  kill -INT $server
  wait $server
}

# The page docs/service.md, command by command. Its service takes publishers on the same port.
bash -e /root/page/0.sh && soon curl -s -o /dev/null http://127.0.0.1:8082/ && echo "the page's service runs: yes"
publish "the page's service" "Authorization: Bearer $(cat /etc/vw/relay.token)"
bash -e /root/page/1.sh && ! systemctl is-active --quiet vw@relay && echo "the page's service has ended: yes"
bash -e /root/page/2.sh && systemctl show -p PrivateDevices vw@cam1
rm -r /etc/systemd/system/vw@cam1.service.d
systemctl daemon-reload

cat >/etc/vw/cam1.pipeline <<'PIPELINE'
# The whole of it: a publisher, a recording, a page and an uplink.
vw-ingest --listen 127.0.0.1:8081 --token-file "$CREDENTIALS_DIRECTORY/token" --ledger "$STATE_DIRECTORY/ingest.json" |
  vw-record --live --tee --ledger "$STATE_DIRECTORY/record.json" --manifest "$STATE_DIRECTORY/manifest.jsonl" \
    "$STATE_DIRECTORY/%Y%m%dT%H%M%SZ.ts" |
  vw-push --live --ledger "$STATE_DIRECTORY/push.json" --listen 127.0.0.1:8082 ws://127.0.0.1:9000/cam1 # a comment
PIPELINE
echo a-token-of-the-test >/etc/vw/cam1.token
chmod 600 /etc/vw/cam1.token
cp -r /etc/vw /root/configuration

# It starts, works, and is stopped.
serve /root/report.json
systemctl enable --now vw@cam1 && soon up && echo "enabled: yes"
systemd-analyze security --no-pager --threshold=20 vw@cam1 >/root/security && echo "exposure below 2.0: yes"
tail -n 1 /root/security
man vw-push | grep -q ^EXAMPLES && man vw-push | tail -n 1 | grep -E '[0-9]{4}-[0-9]{2}-[0-9]{2}' &&
  echo "manual page in LC_ALL=C: yes"
publish published "$token"
publish refused "Authorization: Bearer wrong"
curl -sS -o /dev/null -w 'page: %{http_code}\n' http://127.0.0.1:8082/
systemctl stop vw@cam1
systemctl show -p Result,ExecMainStatus vw@cam1
served
grep -o '"bytes":[0-9]*' /root/report.json | head -n 1 | sed 's/.*:/received: /'
stat -L -c 'recorded: %s' /var/lib/vw/cam1/*.ts

# killed WHEN MEMBER kills a member, and waits until the whole is back. A busy machine may need more than 5 s: there are
# three attempts.
killed() {
  local old began took
  for _ in 1 2 3; do
    if [ "$1" = feeding ]; then soon publisher; fi
    old=$(main_pid)
    began=${EPOCHREALTIME/./}
    pkill -9 -x "$2"
    soon another "$old" || break
    took=$((${EPOCHREALTIME/./} - began))
    if [ $took -lt 5000000 ]; then
      echo "$1, $2: back within 5 s"
      return
    fi
    echo "$1, $2: back after $took us"
  done
}
serve /root/kills.json
systemctl start vw@cam1
soon up
for member in vw-push vw-record vw-ingest; do killed idle $member; done
touch /root/feed
while [ -e /root/feed ]; do
  curl -s -o /dev/null --limit-rate 100k -H "$token" -T /root/stream.ts http://127.0.0.1:8081/
  sleep 0.1
done &
feeder=$!
for member in vw-push vw-record vw-ingest; do killed feeding $member; done

# It is stopped while a publisher sends.
soon publisher
sleep 1
systemctl stop vw@cam1
systemctl show -p Result vw@cam1 | sed 's/^/stopped while feeding: /'
rm /root/feed
wait $feeder
served
mkdir /root/seams /root/ledgers
cp -L /var/lib/vw/cam1/*.ts /root/seams/
cp -L /var/lib/vw/cam1/*.json /root/ledgers/
journalctl -u vw@cam1 --no-pager | grep -c 'told twice' | sed 's/^/told twice: /'

# A socket of systemd's, and no token.
echo 'vw-ingest --listen fd:3 | vw-push --live --listen 127.0.0.1:8083' >/etc/vw/door.pipeline
systemctl start vw@door.socket
publish "socket, without a token" "X: y"
systemctl stop vw@door.socket vw@door.service
rm /etc/vw/door.pipeline

# Upgrade, removal, purge.
systemctl start vw@cam1
soon up
old=$(main_pid)
dpkg -i /root/vw.deb >/dev/null
dpkg-query -W -f 'upgraded: ${Version}\n' vw
soon another "$old" && echo "new tools run: yes"
diff -r /root/configuration /etc/vw && echo "configuration kept at upgrade: yes"
dpkg -r vw >/dev/null
pgrep '^vw-' || echo "stopped at removal: yes"
diff -r /root/configuration /etc/vw && echo "configuration kept at removal: yes"
dpkg -P vw >/dev/null
journalctl -u vw@cam1 --no-pager | tail -n 40
echo "end"
