-- Of a trade whose legs have two quote currencies compared by a live rate: what one unit of the second leg's
-- currency was worth in the first's at the entry and at the exit, and what of the result its move made. All
-- amounts of a trade are in the first leg's currency.
alter table trades
    add column opening_quote_rate numeric,
    add column closing_quote_rate numeric,
    add column rate_move_quote numeric;
