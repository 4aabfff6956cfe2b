# Completion of certero for fish; written by: certero --install-completion fish
function __certero_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (certero --complete $words[2..-1] "$current" 2>/dev/null)
        if string match -q -- \t'*' $line
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c certero -f -a '(__certero_complete)'
