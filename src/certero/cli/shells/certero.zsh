#compdef certero
# Completion of certero for zsh; written by: certero --install-completion zsh
_certero() {
    local line value files=
    local -a values
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ -n $value ]]; then
            values+=("${value//:/\\:}:${line#*$'\t'}")
        else
            files=1
        fi
    done < <(certero --complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( $#values )) && _describe -V certero values
    [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _certero ]]; then
    _certero "$@"
else
    compdef _certero certero
fi
