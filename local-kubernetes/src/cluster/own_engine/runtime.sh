#!/bin/sh
# runc, for containers that ask for CAP_SYS_RESOURCE where nobody has it: the
# engine gives a privileged container all capabilities, and runc then fails.
file=
previous=
for argument; do
    case $previous in
        -b | --bundle) file=$argument/config.json ;;
        -p | --process) file=$argument ;;
    esac
    previous=$argument
done
if [ -n "$file" ]; then
    sed -i -e 's/"CAP_SYS_RESOURCE",//g' -e 's/,"CAP_SYS_RESOURCE"//g' "$file"
fi
exec runc "$@"
