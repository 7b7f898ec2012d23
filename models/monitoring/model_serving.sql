{{ serving() }}
