# Runs Postfix for the tests, as root, and ends it with them.
#
#   postfix.sh FOLDER KEEPER MASTER
#
# It ends once FOLDER/stop is there or the process KEEPER is gone: whoever runs the tests need not be root, and could send it no
# signal. What only root may remove is removed here.
folder=$1 keeper=$2 master=$3
/usr/sbin/postfix -c "$folder/etc" check || exit
"$master" -c "$folder/etc" -s &
master=$!
trap 'kill "$master"' TERM
while kill -0 "$master" 2>/dev/null && [ -e "/proc/$keeper" ] && [ ! -e "$folder/stop" ]; do
    sleep 0.05
done
kill "$master" 2>/dev/null
wait "$master"
rm -rf "$folder/queue" "$folder/data"
