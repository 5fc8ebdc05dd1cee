# Runs one outside part for the tests and ends it with them.
#
#   part.sh FOLDER SIGNAL PROGRAM [ARGUMENT...]
#
# Standard input is a pipe that the test process holds; each line it writes is the name of a signal for the part. The pipe
# closes when the tests let go of the part and also when they crash or are killed; then the part gets SIGNAL, and five
# seconds. A part that ends by itself leaves its exit code in FOLDER/ended; its number is in FOLDER/pid. This shell must lead its own process group.
folder=$1 signal=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
part=$!
echo "$part" >"$folder/pid"
{
    while read -r asked <&3; do
        kill -s "$asked" "$part"
    done
    if [ ! -e "$folder/ended" ]; then
        kill -s "$signal" "$part"
        looks=0
        while [ ! -e "$folder/ended" ] && [ "$looks" -lt 100 ]; do
            sleep 0.05
            looks=$((looks + 1))
        done
    fi
    exec setsid sh -c 'kill -9 "-$1"' sh "$$"
} &
wait "$part"
echo "$?" >"$folder/ended"
wait
