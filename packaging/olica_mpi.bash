# shellcheck shell=bash
# Completion of olica_mpi in bash: options, and behind --set the settings and their choices, as the program itself
# tells them (--help, --list). To have it behind mpirun too:  complete -o default -F _olica_mpi mpirun

# "--set" "--check" ... of the program $1.
_olica_mpi_options() { "$1" --help 2>/dev/null | awk '/^options/ { on = 1 } /^$/ { on = 0 } on && /^  --/ { print $1 }'; }

# "prune.sparsity=" ... of the program $1.
_olica_mpi_settings() {
  "$1" --list 2>/dev/null |
    awk '/^\[/ { section = substr($1, 2, length($1) - 2) } /^[a-z]/ { section = "" }
         section != "" && /^  [a-z]/ && $2 == "=" && section != "io" { print section "." $1 "=" }'
}

# The words that the setting $2 of the program $1 may be: "one of a, b", or auto, off, yes and no among others.
_olica_mpi_values() {
  "$1" --list 2>/dev/null | awk -v wanted="$2" '
    /^\[/ { section = substr($1, 2, length($1) - 2) }
    /^   / && key == wanted {
      sub(/;.*/, "")
      gsub(/[,(]/, " ")
      few = !sub(/one of/, "")
      for (i = 1; i <= NF; i++) if (!few || $i ~ /^(auto|off|yes|no)$/) print $i
    }
    /^  [a-z]/ { key = section "." $1 }'
}

_olica_mpi() {
  local line=("${COMP_WORDS[@]:0:COMP_CWORD}") word=${COMP_WORDS[COMP_CWORD]} program='' i
  COMPREPLY=()
  for ((i = 0; i < COMP_CWORD; i++)); do
    if [[ ${line[i]##*/} == olica_mpi ]]; then program=${line[i]/#\~/$HOME}; fi
  done
  if [ -z "$program" ]; then return; fi

  # Bash cuts words at "=": --set prune.method = ol
  local before=("${line[@]}") value=no
  if [[ $word == = ]]; then
    word='' value=yes
  elif [[ ${line[-1]} == = ]]; then
    unset 'before[-1]'
    value=yes
  fi
  local last=${before[-1]}
  if [[ $value == yes && $last == *.* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_olica_mpi_values "$program" "$last")" -- "$word")
  elif [[ $last == --set ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_olica_mpi_settings "$program")" -- "$word")
    compopt -o nospace
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_olica_mpi_options "$program")" -- "$word")
  fi
}
complete -o default -F _olica_mpi olica_mpi
