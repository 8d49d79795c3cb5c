# Makes the manual page from olica_mpi.1.in: lines @OPTIONS@ and @SETTINGS@ become what the program itself says.
#   awk -v program=build/olica_mpi -f doc/man.awk doc/olica_mpi.1.in
# In --help and --list a name begins in column 3, what is said about it in column 35 or after.

function name(line) { return trimmed(substr(line, 3, 32)) }
function about(line) { return text(trimmed(substr(line, 35))) }

function trimmed(words) {
  gsub(/^ +| +$/, "", words)
  return words
}

# roff reads backslashes, and dots and quotes that begin a line.
function text(words) {
  gsub(/\\/, "\\e", words)
  return words ~ /^[.']/ ? "\\&" words : words
}

# "--set section.key=value" -> .It Fl Fl set Ar section.key=value
function options(    command, line, inside, word, operand, found) {
  command = program " --help"
  while ((command | getline line) > 0) {
    if (line == "options") inside = 1
    else if (line == "") inside = 0
    else if (inside) {
      word = operand = name(line)
      sub(/ .*/, "", word)
      sub(/^[^ ]+ ?/, "", operand)
      print ".It Fl Fl " substr(word, 3) (operand != "" ? " Ar " text(operand) : "")
      print about(line)
      found++
    }
  }
  if (close(command) != 0 || !found) fail(command)
}

# "[section]" and "methods ([prune] method)" begin a list; in the first kind a second line says what is expected.
function settings(    command, line, open, found) {
  command = program " --list"
  while ((command | getline line) > 0) {
    if (line ~ /^   /) print "\\(em " text(trimmed(line))
    else if (line ~ /^  /) {
      print ".It Cm " text(name(line))
      print about(line)
      found++
    } else if (line != "" && line !~ /^settings:/) {
      if (open++) print ".El"
      print ".Ss " text(line)
      print ".Bl -tag -width Ds -compact"
    }
  }
  print ".El"
  if (close(command) != 0 || !found) fail(command)
}

function fail(command) {
  print "no answer from " command > "/dev/stderr"
  failed = 1
  exit 1
}

/^@OPTIONS@$/ { options(); next }
/^@SETTINGS@$/ { settings(); next }
{ print }
