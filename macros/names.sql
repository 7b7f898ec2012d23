{# Names that people give in YAML: training/treehouse/project/names.py says which ones work, and why. Here a plain
   `dbt build` stops before it builds anything. #}

{% macro check_names(names, kind, node, taken) %}
    {%- set file = (node.patch_path or node.original_file_path).split('://')[-1] -%}
    {%- for name in names -%}
        {%- if name is not string -%}
            {{- exceptions.raise_compiler_error(
                file ~ ': a ' ~ kind ~ ' is ' ~ name ~ ', which YAML does not read as text. Write it in quotes.'
            ) -}}
        {%- endif -%}
        {%- if not name or name.startswith('treehouse_') or modules.re.search('["`\\\\\\x00-\\x1f\\x7f]', name) -%}
            {{- exceptions.raise_compiler_error(
                file ~ ': a ' ~ kind ~ " can't be named " ~ name ~ '. Expected text without double quotes, '
                ~ 'backticks, backslashes and control characters that does not begin with treehouse_.'
            ) -}}
        {%- endif -%}
        {%- if name in taken or names | select('equalto', name) | list | length > 1 -%}
            {{- exceptions.raise_compiler_error(
                file ~ ': a ' ~ kind ~ " can't be named " ~ name ~ ', for that name is taken.'
            ) -}}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{# A feature's type: training/treehouse/project/types.py says which ones models take. #}
{% macro check_type(column, node) %}
    {%- set number = '(U?Int(8|16|32|64)|B?Float(16|32|64)|Decimal\\d*\\([\\d, ]+\\)|Bool)' -%}
    {%- set taken = '(Array\\()?(LowCardinality\\()?(Nullable\\()?(' ~ number ~ '|String|FixedString\\(\\d+\\))\\)*' -%}
    {%- if not modules.re.fullmatch(taken, column.data_type or '') -%}
        {{- exceptions.raise_compiler_error(
            (node.patch_path or node.original_file_path).split('://')[-1] ~ ': the feature ' ~ column.name
            ~ ' is ' ~ column.data_type ~ ', which no model takes. Cast it to a Float64 or a String.'
        ) -}}
    {%- endif -%}
{% endmacro %}

{# A string as a SQL literal, quotes and all; numbers and truths that YAML made of a name are refused. #}
{% macro text_literal(value) -%}
    {%- if value is not string -%}
        {{- exceptions.raise_compiler_error(
            'dbt_project.yml: a list of names holds ' ~ value ~ ', which YAML does not read as text. '
            ~ 'Write it in quotes.'
        ) -}}
    {%- endif -%}
    {{- return("'" ~ escape_literal(value) ~ "'") -}}
{%- endmacro %}

{# A list of strings as a SQL array: ['a', 'b']. #}
{% macro string_array(values) -%}
    {{- return('[' ~ _literals(values) ~ ']') -}}
{%- endmacro %}

{# A list of strings as SQL: ('a', 'b'). #}
{% macro string_list(values) -%}
    {{- return('(' ~ _literals(values) ~ ')') -}}
{%- endmacro %}

{% macro _literals(values) %}
    {%- set found = [] -%}
    {%- for value in values -%}
        {%- do found.append(text_literal(value)) -%}
    {%- endfor -%}
    {{- return(found | join(', ')) -}}
{% endmacro %}
